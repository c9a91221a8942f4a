# Two images of one server:
#   docker build -t ballast .                        runs on the CPU (amd64 and arm64)
#   docker build -t ballast:cuda --target cuda .     runs on an NVIDIA GPU (amd64)
# With --build-arg FFMPEG=yes they judge videos as well.
#
# Serve your own models with -v ./models:/app/models; where prompts are fitted, the user 1000 must be able to write
# there. A stop gives requests in flight up to BALLAST_SHUTDOWN_TIMEOUT seconds (30), so give it more than Docker's
# ten: docker stop -t 35.

ARG NODE_IMAGE=node:24-bookworm-slim
# The CUDA libraries of ONNX Runtime link to one major version of CUDA. The build of the cuda target fails with
# the version that they ask for where it is not this one.
ARG CUDA_IMAGE=nvidia/cuda:13.0.2-cudnn-runtime-ubuntu24.04

FROM ${NODE_IMAGE} AS base
WORKDIR /app
# Neither the GPU libraries nor the install-time report of swagger-ui-dist.
ENV ONNXRUNTIME_NODE_INSTALL=skip SCARF_ANALYTICS=false
COPY package.json package-lock.json .npmrc ./

FROM base AS build
RUN npm ci
COPY tsconfig.json tsconfig.build.json ./
COPY src src
RUN npm run build && find dist \( -name '*.d.ts' -o -name '*.map' -o -name .tsbuildinfo \) -delete

FROM base AS dependencies
# onnxruntime-node holds the libraries of every platform, 288 MB; one of them is needed. Of every package,
# what only its authors, a compiler or a debugger reads goes as well. Licences stay.
RUN npm ci --omit=dev \
  && find node_modules/onnxruntime-node/bin/napi-v6 -mindepth 2 -maxdepth 2 \
    ! -path "*/linux/$(node -p process.arch)" -exec rm -r {} + \
  && find node_modules -type f \
    \( -name '*.map' -o -name '*.d.ts' -o -name '*.d.mts' -o -name '*.d.cts' \) -delete \
  && rm -rf node_modules/bintrees/test node_modules/@img/sharp-wasm32

# What both images hold besides their base.
FROM scratch AS app
COPY --from=dependencies /app/node_modules /node_modules
COPY --from=build /app/dist /dist
COPY package.json LICENSE /
COPY pages /pages

FROM ${CUDA_IMAGE} AS cuda
WORKDIR /app
COPY --from=base /usr/local/bin/node /usr/local/bin/node
COPY --from=app / ./
COPY deploy/install-cuda deploy/install-cuda
RUN deploy/install-cuda
# For videos, and sound that is no WAV: --build-arg FFMPEG=yes (a larger image).
ARG FFMPEG=no
RUN if [ "$FFMPEG" = yes ]; then apt-get update \
  && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*; fi
COPY --chown=1000:1000 models models
ENV NODE_ENV=production BALLAST_HOST=0.0.0.0
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.BALLAST_PORT || 8080) + '/v2/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--no-memory-reducer", "--min-semi-space-size=16", "dist/cli.js", "serve"]

# Last, so that it is what a build without --target makes.
FROM ${NODE_IMAGE} AS cpu
WORKDIR /app
# For videos, and sound that is no WAV: --build-arg FFMPEG=yes (a larger image).
ARG FFMPEG=no
RUN if [ "$FFMPEG" = yes ]; then apt-get update \
  && apt-get install -y --no-install-recommends ffmpeg && rm -rf /var/lib/apt/lists/*; fi
COPY --from=app / ./
# Prompts are fitted into the models' folders.
COPY --chown=1000:1000 models models
ENV NODE_ENV=production BALLAST_HOST=0.0.0.0
USER 1000:1000
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=60s \
  CMD ["node", "-e", "fetch('http://127.0.0.1:' + (process.env.BALLAST_PORT || 8080) + '/v2/health/live').then((r) => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]
CMD ["node", "--no-memory-reducer", "--min-semi-space-size=16", "dist/cli.js", "serve"]
