# The service alone: `docker build -t bonafide .`, then
# `docker run -p 3000:3000 -v bonafide:/data bonafide` with keys.json and bundles in the volume.
FROM python:3.11-slim
RUN useradd --create-home bonafide && install -d -o bonafide /data
WORKDIR /app
COPY requirements-serving.lock .
RUN pip install --no-cache-dir --require-hashes --no-deps -r requirements-serving.lock
COPY pyproject.toml README.md ./
COPY configs configs
COPY bonafide bonafide
COPY serving serving
ENV PYTHONPATH=/app BONAFIDE_HOME=/data
USER bonafide
VOLUME /data
EXPOSE 3000
HEALTHCHECK CMD python -c "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/readyz')"
ENTRYPOINT ["python", "-m", "bonafide.cli"]
CMD ["serve", "--host", "0.0.0.0", "--keys", "/data/keys.json"]
