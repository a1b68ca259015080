# The study with the versions of requirements.lock; see docs/installing.md.
FROM python:3.11-slim
RUN apt-get update && apt-get install -y --no-install-recommends g++ git make && rm -rf /var/lib/apt/lists/*
WORKDIR /study
COPY pyproject.toml requirements.lock README.md LICENSE ./
COPY src src
# The usual torch for Linux brings gigabytes of CUDA along; TORCH_INDEX may name the index of its CPU builds instead.
ARG TORCH_INDEX=""
RUN pip install --no-cache-dir ${TORCH_INDEX:+--index-url "$TORCH_INDEX"} "$(grep '^torch==' requirements.lock)" \
    && pip install --no-cache-dir -c requirements.lock -e ".[test,lint,cluster]"
COPY . .
# What is trained lands here, which a volume can keep.
ENV WARMUP_STUDY_ROOT=/out
ENTRYPOINT ["python", "dodo.py"]
CMD ["quick"]
