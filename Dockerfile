# Worker image for make_patches: this project on Beam's own image, without TensorFlow.
#   docker build --tag=REGION-docker.pkg.dev/PROJECT/REPOSITORY/cgan-worker:1 .
# The program that starts the job must have the same version and run on Python 3.11 with the extra gcp.
FROM apache/beam_python3.11_sdk:2.77.0

WORKDIR /opt/cgan
COPY constraints.txt requirements-worker.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement requirements-worker.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY cgan_tf ./cgan_tf
COPY beam_pipelines ./beam_pipelines
COPY configs ./configs
RUN pip install --no-cache-dir --no-deps .
# The build fails if a module is missing or imports TensorFlow.
RUN cd / && python -c "import sys, beam_pipelines.patches.job; assert 'tensorflow' not in sys.modules"
