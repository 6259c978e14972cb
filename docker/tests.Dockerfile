# A temporary image to run the tests in: IMAGE, a clone of the project and the test tools.
# scripts/release.py builds it; its build context holds the clone as tree/.
ARG IMAGE
FROM ${IMAGE}
USER 0
# hadolint ignore=DL3008
RUN apt-get update -qq \
    && apt-get install -y -qq --no-install-recommends git make postgresql >/dev/null \
    && rm -rf /var/lib/apt/lists/* \
    && install -d -o 65534 -g 65534 /tests
WORKDIR /tests
COPY --chown=65534:65534 tree .
# The tools are in an environment of their own, after IMAGE's packages on the path, so that the tests use the packages of
# IMAGE. The bill of materials is written before that, so that it lists the packages of IMAGE only.
RUN --mount=type=cache,target=/root/.cache,sharing=locked \
    --mount=type=secret,id=pip_conf \
    --mount=type=secret,id=ca_bundle \
    if [ -e /run/secrets/pip_conf ]; then export PIP_CONFIG_FILE=/run/secrets/pip_conf; fi; \
    if [ -e /run/secrets/ca_bundle ]; then export PIP_CERT=/run/secrets/ca_bundle; fi; \
    python -m venv /opt/tools \
    && /opt/tools/bin/python scripts/install.py requirements-dev.txt \
    && /opt/tools/bin/cyclonedx-py environment --output-reproducible --output-file /opt/sbom.json /opt/venv/bin/python \
    && echo /opt/tools/lib/python*/site-packages >"$(echo /opt/venv/lib/python*/site-packages)/tools.pth"
ENV PATH=$PATH:/opt/tools/bin
USER 65534:65534
ENTRYPOINT ["python", "-m", "pytest", "-n", "2", "--dist", "loadfile"]
CMD ["-m", "not release"]
