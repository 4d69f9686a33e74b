# The parts of D2-STX compared, and the counter without weights: the shape of the paper's Tables 6 and 7.
#
#   make -f tests/benchmarks/d2stx.mk table OUT=DIR DATA=/data
#
# All models learn from the same drawn clips (landmarks with errors, exact masks): each branch by itself, then fusions of
# those two branches, which stand still, as in the paper; "joint" learns everything at once. They are tested on other
# drawn clips: as they are, twice as fast, and with the person lost for half of the time; and on DATA's real clips and
# pose sequences (clips.tsv with clips/, poses.tsv with poses/; without DATA these columns are missing). What is there
# is not made again, and an interrupted run goes on. CLIPS clips of some 240 frames: drawing takes 100 frames a second on
# two cores, learning minutes a model.

OUT    ?= d2stx-tables
DATA   ?= $(RACCTL_TEST_DATA)
CLIPS  ?= 300
EPOCHS ?= 40
SEED   ?= 0
RACCTL ?= racctl
PYTHON ?= python3
THREADS ?= 0
PRECISION ?= bf16

ALONE  := pose video
MODELS := $(ALONE) pose_guided video_guided fixed learned coupled joint
begin                := $(foreach b,$(ALONE),--init $(OUT)/runs/$(b)/model.safetensors)
options_pose         := --branches pose --joint
options_video        := --branches video --joint
options_pose_guided  := --guide pose $(begin)
options_video_guided := --guide video $(begin)
options_fixed        := --decision fixed $(begin)
options_learned      := $(begin)
options_joint        := --joint
options_coupled      := --fusion coupled $(begin)

SET    := $(OUT)/drawn
ENCODE := $(RACCTL) encode --mask $(SET)/mask --pose $(SET)/pose --stride 32

.PHONY: table
.SECONDARY:
table: $(foreach m,$(MODELS),$(OUT)/runs/$(m)/trained) $(OUT)/fast.done $(if $(DATA),$(OUT)/real.done)
	$(PYTHON) $(dir $(lastword $(MAKEFILE_LIST)))d2stx_table.py $(OUT) $(if $(DATA),--data $(DATA))

$(SET)/manifest.parquet:
	$(RACCTL) synth --out $(SET) --clips $(CLIPS) --classes all,invented --errors varied --reps 2-6 --seed 31 \
	    --size 192x192 --split train=0.7,val=0.1,test=0.2

$(OUT)/features.done: $(SET)/manifest.parquet
	$(ENCODE) $(SET)/video/*.mp4 -o $(OUT)/features/
	touch $@

# Windows taken at half the rate show everything twice as fast.
$(OUT)/fast.done: $(SET)/manifest.parquet
	$(ENCODE) --rate 15 $(SET)/video/*.mp4 -o $(OUT)/fast/
	touch $@

$(OUT)/real.done:
	$(RACCTL) pose $(DATA)/clips/*.mp4 -o $(OUT)/real-pose/
	$(RACCTL) encode $(DATA)/clips/*.mp4 --pose $(OUT)/real-pose --stride 32 -o $(OUT)/real/
	touch $@

$(foreach m,$(filter-out $(ALONE) joint,$(MODELS)),$(OUT)/runs/$(m)/trained): $(foreach b,$(ALONE),$(OUT)/runs/$(b)/trained)

$(OUT)/runs/%/trained: $(OUT)/features.done
	$(RACCTL) train counter $(SET) -o $(@D) --features $(OUT)/features $(options_$*) --shots 0 \
	    --epochs $(EPOCHS) --batch 8 --rate 1e-3 --weight-decay 1e-2 --seed $(SEED) --threads $(THREADS) \
	    --precision $(PRECISION)
	touch $@
