# The service alone; `compose.yaml` runs it. Without Compose:
#   docker build -t bonafide .
#   docker run --rm -v keys:/keys bonafide keys add /keys/keys.json reception
#   docker run -p 3000:3000 -v keys:/keys:ro -v home:/data bonafide
FROM python:3.11-slim AS app
RUN apt-get update && apt-get install --yes --no-install-recommends npm
COPY serving/http/app /app
RUN python /app/npm.py

FROM python:3.11-slim
RUN useradd --uid 1000 --create-home bonafide && install -d -o bonafide -m 700 /data /keys
WORKDIR /app
COPY requirements-serving.lock .
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements-serving.lock
COPY pyproject.toml README.md ./
COPY configs configs
COPY bonafide bonafide
COPY serving serving
COPY --from=app /app/runtime serving/http/app/runtime
ENV PYTHONPATH=/app PYTHONDONTWRITEBYTECODE=1 BONAFIDE_HOME=/data
USER bonafide
VOLUME /data /keys
EXPOSE 3000
HEALTHCHECK CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/readyz')"
ENTRYPOINT ["python", "-m", "bonafide.cli"]
CMD ["serve", "--host", "0.0.0.0", "--keys", "/keys/keys.json"]
