# The parts of D2-STX compared, and the counter without weights: the shape of the paper's Tables 6 and 7.
#
#   make -f tests/benchmarks/d2stx.mk table OUT=DIR DATA=/data
#
# All models learn from the same drawn clips, by the poses that `racctl pose` finds in them and its network's features:
# each branch by itself, then fusions of those two branches, which stand still, as in the paper; "joint" learns everything
# at once. Every clip is learnt from as it is, played faster, and with its person lost half of the time; see
# d2stx_set.py. They are tested on other drawn clips, in the same three versions; and on DATA's real clips and pose
# sequences (clips.tsv with clips/, clips2.tsv with clips2/, poses.tsv with poses/; without DATA these columns are
# missing); and on PEOPLE drawn clips with a second person in the picture, see people.py. POSE is a model with a pose branch, which is taken over instead of learnt; the embedded one is `d2stx`. What is
# there is not made again, and an interrupted run goes on. CLIPS clips of some 120 frames: drawing and estimating 100 takes
# ten minutes of a core, learning half an hour a model.

OUT    ?= d2stx-tables
DATA   ?= $(RACCTL_TEST_DATA)
CLIPS  ?= 1500
EPOCHS ?= 20
PEOPLE ?= 60
POSE   ?=
SEED   ?= 0
RACCTL ?= racctl
PYTHON ?= python3
THREADS ?= 0
PRECISION ?= bf16

ALONE  := pose video
MODELS := $(ALONE) pose_guided video_guided fixed learned coupled joint
shots                := --shots 1
begin                := $(shots) $(foreach b,$(ALONE),--init $(OUT)/runs/$(b)/model.safetensors)
options_pose         := --branches pose --joint $(shots)
options_video        := --branches video --joint $(shots) --init $(OUT)/runs/pose/model.safetensors
options_pose_guided  := --guide pose $(begin)
options_video_guided := --guide video $(begin)
options_fixed        := --decision fixed $(begin)
options_learned      := $(begin)
options_joint        := --joint $(shots)
options_coupled      := --fusion coupled $(begin)

SET    := $(OUT)/drawn
HERE   := $(dir $(lastword $(MAKEFILE_LIST)))
ENCODE := $(RACCTL) encode --encoder blazepose --rate 15 --stride 32
REAL   := clips clips2
ROWS   ?= parts
COMPARED ?= $(MODELS)
REPORT ?= $(OUT)/$(ROWS).md

.PHONY: table
.SECONDARY:
table: $(foreach m,$(COMPARED),$(OUT)/runs/$(m)/trained) $(OUT)/people.done $(if $(DATA),$(REAL:%=$(OUT)/%.done))
	$(PYTHON) $(HERE)d2stx_table.py $(OUT) --rows $(ROWS) $(if $(DATA),--data $(DATA)) > $(REPORT)
	cat $(REPORT)

$(SET)/manifest.parquet:
	$(RACCTL) synth --out $(SET) --clips $(CLIPS) --classes all,invented,background --fps 15 --size 192x192 --reps 2-7 \
	    --speed wide --seed 31 --split train=0.8,val=0.07,test=0.13

$(OUT)/set.done: $(SET)/manifest.parquet
	$(RACCTL) pose $(SET)/video/*.mp4 -o $(OUT)/estimated/ --features $(OUT)/inner/
	$(PYTHON) $(HERE)d2stx_set.py $(SET) $(OUT)/estimated $(OUT)/inner $(OUT)/set
	touch $@

$(OUT)/people.done:
	$(PYTHON) $(HERE)people.py --folder $(OUT)/people-drawn --clips $(PEOPLE) --draw-only
	$(RACCTL) pose $(OUT)/people-drawn/*.both.mp4 -o $(OUT)/people-pose/ --features $(OUT)/people-inner/
	$(ENCODE) $(OUT)/people-inner/*.features.npz --pose $(OUT)/people-pose/ -o $(OUT)/people/
	touch $@

$(REAL:%=$(OUT)/%.done): $(OUT)/%.done:
	$(RACCTL) pose $(DATA)/$*/*.mp4 -o $(OUT)/$*-pose/ --features $(OUT)/$*-inner/
	$(ENCODE) $(OUT)/$*-inner/*.features.npz --pose $(OUT)/$*-pose/ -o $(OUT)/$*/
	touch $@

$(foreach m,$(filter-out pose,$(MODELS)),$(OUT)/runs/$(m)/trained): $(OUT)/runs/pose/trained
$(foreach m,$(filter-out $(ALONE) joint,$(MODELS)),$(OUT)/runs/$(m)/trained): $(OUT)/runs/video/trained

ifdef POSE
$(OUT)/runs/pose/trained:
	mkdir -p $(@D) && cp $(POSE) $(@D)/model.safetensors
	touch $@
endif

$(OUT)/runs/%/trained: $(OUT)/set.done
	$(RACCTL) train counter $(OUT)/set -o $(@D) --features $(OUT)/set/features $(options_$*) --chain 2 \
	    --epochs $(EPOCHS) --batch 8 --rate $(or $(rate_$*),1e-3) --weight-decay 1e-2 --seed $(SEED) --threads $(THREADS) \
	    --precision $(PRECISION)
	touch $@
