import socket

import pytest
from torch.distributed import DistNetworkError, TCPStore

from corrlight.engine.faults.rendezvous import PortInUseError, explain_port


def test_an_occupied_port_is_one_line_with_the_way_out(monkeypatch):
    with socket.socket() as other:
        other.bind(("localhost", 0))
        other.listen()
        port = other.getsockname()[1]
        monkeypatch.setenv("MASTER_PORT", str(port))
        said = rf"at port {port}, .* MASTER_PORT to a free one"
        with pytest.raises(PortInUseError, match=said), explain_port():
            TCPStore("localhost", port, 2, is_master=True, wait_for_workers=False)


def test_other_failures_of_the_network_pass():
    with pytest.raises(DistNetworkError, match="reset"), explain_port():
        raise DistNetworkError("connection reset")
