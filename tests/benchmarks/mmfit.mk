# MM-Fit's table of the Mask Cross-Attention Transformer paper (its Table 1), for those who have the videos.
#
#   make -f tests/benchmarks/mmfit.mk table ROOT=/data/mm-fit VIDEOS=/data/mm-fit-videos
#   make -f tests/benchmarks/mmfit.mk table ROOT=/data/mm-fit VIDEOS=/data/mm-fit-videos MODELS='mcat tcn transformer' INPUTS='both mask'
#
# ROOT holds w00 to w20 as published: labels and 2-D poses. Their RGB videos were never released; VIDEOS holds those that
# you have, w00.mp4 and so on. Masks are estimated, as in the paper. Trained on MM-Fit's training workouts, 16 frames of
# 112 pixels, 30 epochs (a GPU's work); the best epoch is chosen by the validation workouts. "With null" has the background
# as a class, "no null" leaves it out of the truth: background that is predicted for the rest is an error.
#
#   OUT      where everything goes; what is there is not made again, and an interrupted run goes on
#   MODELS, INPUTS, SEED   of racctl train recogniser --model, --input, --seed
#   TRAIN, CLASSIFY, MASK  more options of those commands

ROOT   ?=
VIDEOS ?=
OUT    ?= mmfit-table
MODELS ?= mcat
INPUTS ?= both
SEED   ?= 0
RACCTL ?= racctl

$(if $(and $(ROOT),$(VIDEOS)),,$(error name the published folder with ROOT=DIR and the videos' with VIDEOS=DIR))

RUNS   := $(foreach m,$(MODELS),$(foreach i,$(INPUTS),$(m)_$(i)))
model   = $(word 1,$(subst _, ,$(1)))
input   = $(word 2,$(subst _, ,$(1)))
SPLITS := val test unseen_test
masks   = $(if $(filter raw,$(call input,$(1))),,--masks $(OUT)/masks)

define PUBLISHED
Published for MM-Fit, per cent; F1 and AUC are means over the classes. A dash: not published.

model                 looks at          protocol   val acc    F1   AUC  test acc    F1   AUC  source
Mask Cross-Attention  gray and masks    with null     91.2  76.3  97.0      95.0  88.8  99.3  its Table 1
MuJo                  RGB               with null        -     -     -         -  72.9     -  the same table
MuJo                  RGB               no null          -     -     -         -  84.8     -  the same table
MuJo, fine-tuned      several sensors   not seen         -     -     -         -  94.2     -  its abstract (PerCom 2025)

Of MuJo its abstract is public, and its figures; code, weights and its 78 hours of video are not, so that it cannot be
trained here. MM-Fit has ten exercises and no activity, 11 classes; the paper speaks of 11 exercises and background.
endef
export PUBLISHED

.PHONY: table
.DELETE_ON_ERROR:
.SECONDARY:
table: $(OUT)/table.txt
	@cat $<

$(OUT)/table.txt: $(foreach r,$(RUNS),$(foreach s,$(SPLITS),$(OUT)/$(r)/$(s).txt))
	for file in $^; do echo "$$file" && cat "$$file"; done > $@.part
	printf '\n%s\n' "$$PUBLISHED" >> $@.part
	mv $@.part $@

$(OUT)/masks.done:
	$(RACCTL) mask $(VIDEOS)/*.mp4 -o $(OUT)/masks/ $(MASK)
	touch $@

$(OUT)/%/trained: $(OUT)/masks.done
	$(RACCTL) train recogniser $(ROOT) -o $(@D) --videos $(VIDEOS) $(call masks,$*) --cache $(OUT)/cache \
	    --model $(call model,$*) --input $(call input,$*) --epochs 30 --seed $(SEED) $(TRAIN)
	touch $@

# $(1): the run, $(2): the split
define scored
$(OUT)/$(1)/$(2).txt: $(OUT)/$(1)/trained
	$(RACCTL) classify -q --dataset $(ROOT) --split $(2) --model $(OUT)/$(1)/model.safetensors --windows \
	    --videos $(VIDEOS) $(call masks,$(1)) --cache $(OUT)/cache $(CLASSIFY) -o $(OUT)/$(1)/$(2).labels.parquet
	( echo "with null" && $(RACCTL) score --truth $(ROOT) --split $(2) $(OUT)/$(1)/$(2).labels.parquet --format table && \
	  echo "no null" && $(RACCTL) score --truth $(ROOT) --split $(2) $(OUT)/$(1)/$(2).labels.parquet --no-null --format table \
	) > $$@
endef
$(foreach r,$(RUNS),$(foreach s,$(SPLITS),$(eval $(call scored,$(r),$(s)))))
