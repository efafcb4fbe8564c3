"""Reads the file of an offline W&B run: LevelDB's log format, one protocol buffer a record."""

from pathlib import Path

from wandb.proto import wandb_internal_pb2

_BLOCK, _HEADER = 32768, 7


def records(path: Path):
    """Yield the records of a ``.wandb`` file as (kind, content)."""
    data = path.read_bytes()
    assert data[:4] == b":W&B"
    place, parts = _HEADER, b""
    while place + _HEADER <= len(data):
        if _BLOCK - place % _BLOCK < _HEADER:  # The rest of a block is padding.
            place += _BLOCK - place % _BLOCK
            continue
        length = int.from_bytes(data[place + 4 : place + 6], "little")
        kind = data[place + 6]  # 1 whole, 2 first, 3 middle, 4 last
        if kind == 0:
            break
        place += _HEADER
        parts += data[place : place + length]
        place += length
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(parts)
            parts = b""
            name = record.WhichOneof("record_type")
            yield name, getattr(record, name)


def keys(items):
    """Return the names in a history, configuration or summary."""
    return {"/".join(item.nested_key) or item.key for item in items}
