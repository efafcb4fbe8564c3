# syntax=docker/dockerfile:1
# README's two commands in a container: docs/container.md.
FROM python:3.11-slim-bookworm

RUN apt-get update \
 && apt-get install --yes --no-install-recommends g++ git make \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 corrlight \
 && install --directory --owner corrlight /corrlight

USER corrlight
WORKDIR /corrlight

# What decides the environment, and nothing else: other changes keep this layer.
COPY --chown=corrlight Makefile pyproject.toml README.md LICENSE ./
COPY --chown=corrlight .ci/torchsort .ci/torchsort
COPY --chown=corrlight corrlight/__init__.py corrlight/__init__.py
COPY --chown=corrlight conf conf
RUN make env

# `make` rebuilds the environment when pyproject.toml is newer than its stamp: the copy keeps it.
COPY --chown=corrlight . .

CMD ["make", "demo"]
