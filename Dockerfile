# The image for those who build with a container engine. `make image` makes one without, and `kitamae deploy` pushes its own.
#
#   docker build -t kitamae .
#   docker run --rm -v "$PWD:/data" kitamae run
FROM golang:1.26-bookworm AS build
WORKDIR /src
COPY . .
RUN make build BIN=/out/kitamae \
	&& install -d -m 0755 -o 65532 -g 65532 /out/data \
	&& install -d -m 1777 /out/tmp \
	&& install -D -m 0644 /etc/ssl/certs/ca-certificates.crt /out/etc/ssl/certs/ca-certificates.crt

FROM scratch
COPY --from=build /out/ /
USER 65532:65532
WORKDIR /data
ENV HOME=/data
ENTRYPOINT ["/kitamae"]
