# bertdemo on a CPU, as a server for others. Built and run with Docker 20.10 on a stand-in for the base image: Debian 12
# with its Python 3.11. The image named below could not be fetched there.
#
#   docker build -t bertdemo .
#   docker run -p 7860:7860 -v bertdemo:/data -e BERTDEMO_PASSWORD=choose-one bertdemo
#
# The user name is "bertdemo". Without a password the container ends at once and says so; to open it to anyone who can
# reach it, put `python app.py --host 0.0.0.0 --allow-public` behind the image's name instead.
# Stop it with `docker stop -t 60`: a run at work is then saved before the container ends.
# By default pip fetches torch with its GPU libraries; --build-arg TORCH_INDEX=<the CPU wheel index of torch> leaves
# some gigabytes of them out.

FROM python:3.12-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY assets assets
COPY bertdemo bertdemo
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ARG TORCH_INDEX=""
ENV PYTHONUNBUFFERED=1 BERTDEMO_LOG_FORMAT=json
COPY requirements.txt constraints.txt /tmp/
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r /tmp/requirements.txt \
    -c /tmp/constraints.txt
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl && rm -r /wheels \
    && useradd --create-home --uid 1000 bertdemo && mkdir /data && chown bertdemo /data
WORKDIR /app
COPY app.py .
USER bertdemo
ENV BERTDEMO_HOME=/data
VOLUME /data
EXPOSE 7860
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=120s \
    CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:7860/health', timeout=4)"]
CMD ["python", "app.py", "--host", "0.0.0.0"]
