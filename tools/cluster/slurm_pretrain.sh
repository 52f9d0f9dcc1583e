#!/bin/bash
# Pretrain NeuroLM on a SLURM cluster: three stages, any number of nodes, resumed until finished.
#
#   bash slurm_pretrain.sh               submit all three stages, each after the one before
#   sbatch slurm_pretrain.sh STAGE ...   submit one: tokenizer, autoregressive or instruct; what
#                                        follows is passed on to python -m mne_neurolm.pretrain
#
# Paths and sizes come from the environment; README.md beside this file lists them. So does the key
# of Weights & Biases: never write a key into a script or on a command line, which others can see.

# --- what to ask the cluster for; sbatch's own options go before these lines ---------------------
#SBATCH --job-name=neurolm
#SBATCH --nodes=1                     # more nodes: nothing else changes
#SBATCH --ntasks-per-node=1           # one torchrun per node, which starts one process per GPU
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=64            # for 8 training processes and the loaders of each
#SBATCH --mem=0                       # all memory of the node
#SBATCH --time=24:00:00
#SBATCH --signal=B:USR1@300           # SIGUSR1 to this script (B:), 300 s before the time is over
#SBATCH --requeue                     # after a node failure, start this script again
#SBATCH --open-mode=append            # and go on with the same log
#SBATCH --output=%x-%j.log

set -euo pipefail

: "${STORE:?set STORE to the folder that python -m mne_neurolm.prepare wrote}"
: "${TEXT:?set TEXT to the folder that python -m mne_neurolm.prepare_text wrote}"
: "${RUNS:?set RUNS to a folder, on a disk that all nodes see, for the three runs}"
PRESET=${PRESET:-b}                   # tiny, b, l or xl
GPT2=${GPT2:-}                        # folder that holds gpt2, gpt2-medium or gpt2-xl, see below
TASKS=${TASKS:-}                      # stage instruct: names of tasks or YAML files
PYTHON=${PYTHON:-python}              # of the environment that mne-neurolm is installed in
export STORE TEXT RUNS PRESET GPT2 TASKS PYTHON

# --- outside a job: submit the three stages and leave --------------------------------------------
if [[ -z ${SLURM_JOB_ID:-} ]]; then
    after=()
    for stage in tokenizer autoregressive instruct; do
        if [[ $stage == instruct && -z $TASKS ]]; then
            echo "instruct is not submitted: TASKS names no task"
            continue
        fi
        # afterok: start only if the stage before has finished with status 0.
        job=$(sbatch --parsable --job-name="neurolm-$stage" "${after[@]}" "$0" "$stage" "$@")
        job=${job%%;*}                # sbatch adds ";cluster" where there are several clusters
        echo "$stage: job $job"
        after=(--dependency="afterok:$job")
    done
    exit 0
fi

# --- inside a job: one stage ---------------------------------------------------------------------
stage=${1:?give the stage: tokenizer, autoregressive or instruct}
shift
output=$RUNS/$PRESET-$stage
arguments=("$stage" --store "$STORE" --text "$TEXT" --output "$output")

# L and XL read EEG through the neural tokenizer of B, as in the paper.
preset=$PRESET
[[ $stage == tokenizer && $PRESET != tiny ]] && preset=b
arguments+=(--preset "$preset")

case $stage in
    tokenizer) ;;
    autoregressive) arguments+=(--init "$RUNS/$PRESET-tokenizer") ;;
    instruct)
        read -ra tasks <<< "$TASKS"
        arguments+=(--init "$RUNS/$PRESET-autoregressive" --tasks "${tasks[@]}")
        ;;
    *) echo "unknown stage $stage" >&2; exit 2 ;;
esac
# The paper starts from GPT-2: of the size of the preset, and of that of B for the tokenizer.
declare -A sizes=([b]=gpt2 [l]=gpt2-medium [xl]=gpt2-xl)
if [[ -n $GPT2 && $stage != instruct && $preset != tiny ]]; then
    arguments+=(--model.language-model "$GPT2/${sizes[$preset]}")
fi
# XL does not fit beside its optimiser on one GPU: shard it, and recompute activations.
[[ $preset == xl ]] && arguments+=(--runtime.strategy fsdp --runtime.activation-checkpointing)
# The key stays in the environment, which sbatch and srun pass on.
[[ -n ${WANDB_API_KEY:-} ]] && arguments+=(--runtime.trackers tensorboard wandb)
# A run that exists, from before a requeue, goes on.
[[ -e $output/config.yaml ]] && arguments+=(--resume)
arguments+=("$@")

# All processes of all nodes meet at the first node. The port depends on the job, because jobs of
# others may share that node.
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
gpus=${SLURM_GPUS_ON_NODE:-1}
launch=("$PYTHON" -m torch.distributed.run
    --nnodes "$SLURM_JOB_NUM_NODES"
    --nproc-per-node "$gpus"
    --rdzv-backend c10d
    --rdzv-endpoint "$head:$((20000 + SLURM_JOB_ID % 20000))"
    --rdzv-id "$SLURM_JOB_ID-${SLURM_RESTART_COUNT:-0}"
    -m mne_neurolm.pretrain)

export OMP_NUM_THREADS=1              # arithmetic is on the GPU; loaders are processes of their own
export HF_HUB_OFFLINE=1               # compute nodes often have no network; nothing here needs one

# What runs on every node. SIGUSR1 asks the training processes to save and stop. torchrun, their
# parent, would die of it: it is started with the signal ignored, and the children get it directly.
# shellcheck disable=SC2016
on_node='
    (trap "" USR1; exec "$@") &
    agent=$!
    trap "signalled=1; pkill -USR1 -P $agent" USR1
    until wait "$agent"; status=$?; [ -z "$signalled" ]; do signalled=; done
    exit "$status"
'
srun --kill-on-bad-exit=1 bash -c "$on_node" on_node "${launch[@]}" "${arguments[@]}" &
step=$!
# srun passes the signal on to its task on every node; this script waits until they have saved. A
# signal interrupts wait, so it is called again.
signalled=
trap 'signalled=1; kill -USR1 "$step"' USR1
while true; do
    status=0
    wait "$step" || status=$?
    [[ -n $signalled ]] || break
    signalled=
done
if (( status )); then
    exit "$status"                    # the reason is in the log; the next stage will not start
fi

# Status 0 is a finished run, or one that was asked to stop and has saved. The latter goes on.
state=$("$PYTHON" -c 'import json, sys; print(json.load(open(sys.argv[1]))["status"])' \
    "$output/run.json")
echo "$output: $state"
if [[ $state != finished ]]; then
    scontrol requeue "$SLURM_JOB_ID"
fi
