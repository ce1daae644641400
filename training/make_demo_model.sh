#!/usr/bin/env bash
# Make the model that ships with galmorph: mock tiles, training, export, evaluation. Under an hour on two cores.
# Usage: training/make_demo_model.sh [WORK]. What is finished in WORK is not done again.
set -euo pipefail
work=${1:-model-work}
here=$(cd "$(dirname "$0")" && pwd)
model=$here/../galmorph/demo/model

if [ ! -f "$work/mock/cutouts/dataset.json" ]; then
    galmorph mock "$work/mock" --survey mock-decals --tiles 120 --seed 1 --workers 2
fi
galmorph train "$here/demo.toml" --data "$work/mock/cutouts" --out "$work/training"
galmorph export "$work/training/checkpoints/best.safetensors" --data "$work/mock/cutouts" --out "$model"
galmorph evaluate "$model" "$work/mock/cutouts"
