# The tables of the Mask Cross-Attention Transformer paper, on the generator's slow-to-fast protocol.
#
#   make -f tests/benchmarks/mcat.mk tables            as in the paper: 112 pixels, 30 epochs (a GPU's work)
#   make -f tests/benchmarks/mcat.mk tables SCALE=cpu  scaled to a small machine; the tables say so
#   make -f tests/benchmarks/mcat.mk tables SCALE=tiny minutes, only to see that everything runs
#
# Everything that is made stays in $(OUT); what is there is not made again, and an interrupted run goes on.

OUT   ?= mcat-tables
SCALE ?= paper
SEEDS ?= 0 1 2
RACCTL ?= racctl
PYTHON ?= python3
THREADS ?= 0

synth_paper := --clips 30 --seconds 369
train_paper := --epochs 30
synth_cpu   := --clips 40 --seconds 50 --size 152x200
pictures_cpu := --crop person --size 32
train_cpu   := --epochs 8 --stride 16 --rate 6e-4 --precision bf16
synth_tiny  := --clips 2 --seconds 30 --size 76x100
pictures_tiny := --size 16
train_tiny  := --epochs 1 --stride 64

# Name -> what sets it apart. Table 2: models and inputs; Table 3: fusions; Table 4: depth; then beyond the paper.
BASELINES := mlp lstm tcn transformer vivit
INPUTS    := raw both mask
BEYOND    := mcat_tempo mcat_pose mcat_pose_tempo pose_tempo
# Run with every seed: the paper's model, its strongest baseline, the best of ours; and what is run on every tempo.
MAIN      := mcat_both transformer_both mcat_pose_tempo
TEMPI     := $(MAIN) $(BEYOND) mcat_mask tcn_both
NAMES     := $(foreach m,$(BASELINES) mcat,$(foreach i,$(INPUTS),$(m)_$(i))) mcat_add mcat_2 mcat_6 mcat_8 $(BEYOND)
FIRST     := $(MAIN) $(filter-out $(MAIN),$(NAMES))
RUNS      := $(foreach n,$(FIRST),$(n)@0) $(foreach s,$(filter-out 0,$(SEEDS)),$(foreach n,$(MAIN),$(n)@$(s)))

$(foreach m,$(BASELINES) mcat,$(foreach i,$(INPUTS),$(eval options_$(m)_$(i) := --model $(m) --input $(i))))
options_mcat_add := --fusion add
options_mcat_2 := --layers 2
options_mcat_6 := --layers 6
options_mcat_8 := --layers 8
options_mcat_tempo := --tempo 0.5-5
options_mcat_pose := --pose
options_mcat_pose_tempo := --pose --tempo 0.5-5
options_pose_tempo := --input pose --tempo 0.5-5

SET    := $(OUT)/protocol
OTHERS := test_0_5x test_1x test_1_5x test_3x test_4x

.PHONY: tables
.SECONDARY:
tables: $(foreach r,$(RUNS),$(OUT)/runs/$(r)/scores)
	$(PYTHON) $(dir $(lastword $(MAKEFILE_LIST)))mcat_tables.py $(OUT)/runs --scale $(SCALE)

$(SET)/manifest.parquet:
	$(RACCTL) synth --protocol --out $(SET) $(synth_$(SCALE))

name = $(word 1,$(subst @, ,$(1)))
seed = $(word 2,$(subst @, ,$(1)))
splits = test $(if $(filter $(call name,$(1)),$(TEMPI)),$(OTHERS))

# The paper's numbers are of its validation set, which is the fast one; nothing is chosen by it here.
$(OUT)/runs/%/trained: $(SET)/manifest.parquet
	$(RACCTL) train recogniser $(SET) -o $(@D) --cache $(OUT)/cache --val-split none --threads $(THREADS) \
	    $(train_$(SCALE)) $(if $(filter pose_%,$(call name,$*)),,$(pictures_$(SCALE))) $(options_$(call name,$*)) --seed $(call seed,$*)
	touch $@

$(OUT)/runs/%/scores: $(OUT)/runs/%/trained
	for split in $(call splits,$*); do \
	    $(RACCTL) classify -q --dataset $(SET) --split $$split --model $(@D)/model.safetensors --windows --threads $(THREADS) --cache $(OUT)/cache \
	        -o $(@D)/$$split.labels.parquet && \
	    $(RACCTL) score --truth $(SET) --split $$split $(@D)/$$split.labels.parquet --format parquet \
	        -o $(@D)/$$split.scores.parquet --resamples 500 || exit 1; \
	done
	touch $@
