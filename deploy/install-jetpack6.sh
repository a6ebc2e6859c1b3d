#!/usr/bin/env bash
# Pipe on a Jetson Orin with JetPack 6 (Ubuntu 22.04, Python 3.10): a user, a virtual environment in /opt/pipe, udev rules, a
# systemd unit, network buffers. Not run on a board yet.
#
#   sudo deploy/install-jetpack6.sh [--dry-run] [--no-torch]
#
# torch is NVIDIA's build for this JetPack, by version and index below; PyPI's wheel for aarch64 has no CUDA for Jetson.
# TORCH, TORCH_INDEX: another version, another index. TEGRA_RELEASE: another file than /etc/nv_tegra_release (tests).
set -euo pipefail

TORCH=${TORCH:-2.8.0}
TORCH_INDEX=${TORCH_INDEX:-https://pypi.jetson-ai-lab.io/jp6/cu126}
TEGRA_RELEASE=${TEGRA_RELEASE:-/etc/nv_tegra_release}
PREFIX=/opt/pipe
here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
dry=0 torch=1

die() { echo "install-jetpack6.sh: $*" >&2; exit 1; }
run() { if ((dry)); then echo "$*"; else "$@"; fi; }

for word in "$@"; do
    case $word in
        --dry-run) dry=1 ;;
        --no-torch) torch=0 ;;
        *) die "needs --dry-run, --no-torch or nothing, got $word" ;;
    esac
done

release=$(head -n 1 "$TEGRA_RELEASE" 2>/dev/null || true)
[[ $release =~ ^\#\ R36\  ]] || die "needs JetPack 6 (L4T R36) in $TEGRA_RELEASE, got ${release:-no such file}"
((dry)) || [[ $(id -u) == 0 ]] || die "needs root, got $(id -un); sudo $0"
((dry)) || command -v python3.10 >/dev/null || die "needs python3.10, which JetPack 6 has; got none"

run apt-get update -q
run apt-get install -y -q python3.10-venv python3-pip libopenblas0
id pipe >/dev/null 2>&1 || run useradd --system --home-dir /var/lib/pipe --shell /usr/sbin/nologin --groups video,render pipe

# JetPack's own TensorRT and OpenCV (with GStreamer, for nvarguscamerasrc) stay visible. They are built for NumPy 1.
run python3.10 -m venv --system-site-packages "$PREFIX"
pip="$PREFIX/bin/python -m pip install --disable-pip-version-check -q"
constraints=$(mktemp)
trap 'rm -f "$constraints"' EXIT
echo "numpy<2" >"$constraints"
if ((torch)); then
    echo "torch==$TORCH" >>"$constraints"
    # shellcheck disable=SC2086
    run $pip -c "$constraints" --index-url "$TORCH_INDEX" "torch==$TORCH"
fi
extras=record,onnx
((torch)) && extras=$extras,torch
# shellcheck disable=SC2086
run $pip -c "$constraints" "$here/..[$extras]"
if ((!dry)) && /usr/bin/python3.10 -c 'import cv2, sys; sys.exit("GStreamer:                   YES" not in cv2.getBuildInformation())' 2>/dev/null; then
    run "$PREFIX/bin/python" -m pip uninstall -q -y opencv-python-headless # it hides JetPack's OpenCV
fi

run install -d /etc/pipe
run install -m 644 "$here/pipe@.service" /etc/systemd/system/
run install -m 644 "$here/99-pipe.rules" /etc/udev/rules.d/
run install -m 644 "$here/60-pipe.conf" /etc/sysctl.d/
run sysctl -q -p /etc/sysctl.d/60-pipe.conf
run udevadm control --reload
run udevadm trigger
run systemctl daemon-reload
run ln -sf "$PREFIX/bin/pipe" /usr/local/bin/pipe
run "$PREFIX/bin/pipe" doctor
