# Two images with everything that `make` installs; docs/containers.md says how to build and run them.
#
#   docker build --target ci  --tag securecli-tuner:ci  .     a slim Debian without a GPU: tests, reports, publishing
#   docker build --target pod --tag securecli-tuner:pod .     on Axolotl's image, for a rented GPU
#
# What is committed goes in, and nothing else: the first stage clones, so that no file that git ignores, no remote's
# address and no credential of the checkout is in either image. No secret is needed to build, and none is set.

# By tag: a digest names one architecture's files of one day, and none of this tag's could be checked from here.
ARG CI_BASE=docker.io/library/debian:bookworm-slim
# The digest of main-20260712-py3.12-cu130-2.12.0, as two public pipelines pin it. CUDA 13 needs driver 580: rent with
# --min-cuda-version 13.0, or build on another tag with its TORCH_BACKEND.
ARG POD_BASE=docker.io/axolotlai/axolotl@sha256:c33b21ad322e49fcc2db6116042cc206c69f26716482fc2902179fa303dd60b4

# hadolint ignore=DL3006
FROM ${CI_BASE} AS source
# Debian's archive keeps one version of a package: a pinned one is gone after the next update.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends git && rm -rf /var/lib/apt/lists/*
COPY . /context
RUN git config --global --add safe.directory '*' \
    && git clone --quiet --no-hardlinks /context /source \
    && git -C /source remote remove origin

# hadolint ignore=DL3006
FROM ${CI_BASE} AS ci
# What README.md asks for, and what `make test` would install: a browser, keys, an ordinary user's ids.
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends \
        bubblewrap ca-certificates chromium git make mmdebstrap openssh-client python3 python3-venv uidmap \
    && rm -rf /var/lib/apt/lists/*
COPY --from=source /source /opt/securecli-tuner
WORKDIR /opt/securecli-tuner
ENV SANDBOX_FOLDER=/opt/sandbox-root HF_HOME=/workspace/data/huggingface JUPYTER_DISABLE=1
# environment.json of a run reads the image's name there; its own digest no image can know.
ARG CI_BASE
RUN git config --system --add safe.directory /opt/securecli-tuner \
    && git config --system --add safe.directory /workspace/data/securecli-tuner \
    && echo "securecli-tuner:ci of $(git rev-parse HEAD) on ${CI_BASE}" > /etc/container-image
# What is made while the image is built; VERBS=help makes an image of some MB that installs at its first start.
ARG VERBS="setup model sandbox-root"
RUN UV_TORCH_BACKEND=cpu UV_CACHE_DIR=/tmp/uv make ${VERBS} && rm -rf /tmp/uv /root/.cache
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s --retries=3 \
    CMD ["sh", "/opt/securecli-tuner/scripts/container/health.sh"]
ENTRYPOINT ["sh", "/opt/securecli-tuner/scripts/container/enter.sh"]
CMD ["help"]

# hadolint ignore=DL3006
FROM ${POD_BASE} AS pod
# hadolint ignore=DL3008
RUN apt-get update && apt-get install --yes --no-install-recommends \
        bubblewrap ca-certificates git make mmdebstrap openssh-client openssh-server \
    && rm -rf /var/lib/apt/lists/* /etc/ssh/ssh_host_*
# Not below /workspace, where a volume would hide it; Axolotl's own environment stays beside it, unused.
COPY --from=source /source /opt/securecli-tuner
WORKDIR /opt/securecli-tuner
ENV SANDBOX_FOLDER=/opt/sandbox-root HF_HOME=/workspace/data/huggingface JUPYTER_DISABLE=1
# environment.json of a run reads the image's name there; its own digest no image can know.
ARG POD_BASE
RUN git config --system --add safe.directory /opt/securecli-tuner \
    && git config --system --add safe.directory /workspace/data/securecli-tuner \
    && echo "securecli-tuner:pod of $(git rev-parse HEAD) on ${POD_BASE}" > /etc/container-image
ARG VERBS="setup model sandbox-root"
# Nothing answers nvidia-smi while an image is built: the build of torch is named, and fits the base's CUDA.
ARG TORCH_BACKEND=cu130
RUN UV_TORCH_BACKEND=${TORCH_BACKEND} UV_CACHE_DIR=/tmp/uv make ${VERBS} && rm -rf /tmp/uv /root/.cache
HEALTHCHECK --interval=60s --timeout=30s --start-period=60s --retries=3 \
    CMD ["sh", "/opt/securecli-tuner/scripts/container/health.sh"]
ENTRYPOINT ["sh", "/opt/securecli-tuner/scripts/container/enter.sh"]
CMD ["help"]
