# The image of Beam's workers for make_patches: this project on Beam's own image, no TensorFlow.
#   docker build --tag=REGION-docker.pkg.dev/PROJECT/REPOSITORY/cgan-worker:1 .
# The program that starts the job must be of the same version, on Python 3.11, with the extra gcp.
FROM apache/beam_python3.11_sdk:2.77.0

WORKDIR /opt/cgan
COPY constraints.txt requirements-worker.txt ./
RUN pip install --no-cache-dir --constraint constraints.txt --requirement requirements-worker.txt
COPY setup.py pyproject.toml README.md LICENSE ./
COPY cgan_tf ./cgan_tf
COPY beam_pipelines ./beam_pipelines
RUN pip install --no-cache-dir --no-deps .
# Fails the build where a module is missing, or one brings TensorFlow in.
RUN cd / && python -c "import sys, beam_pipelines.patches.job; assert 'tensorflow' not in sys.modules"
