# D2-STX, or a system that it is compared with, on RepCount-A, from its videos to a table beside the published ones.
#
#   make -f tests/benchmarks/repcount.mk table ROOT=/data/RepCountA
#       the embedded encoders and the small counter
#   make -f tests/benchmarks/repcount.mk table ROOT=/data/RepCountA OUT=paper PRESET=paper \
#       ENCODER=swin3d_t WEIGHTS=swin3d_t.pth POSE_WEIGHTS=ctrgcn.pt
#       what the paper uses: Video Swin-T of Kinetics, published weights of CTR-GCN, the counter 512 wide
#
# ROOT holds the videos at any depth, and annotation/ with train.csv, valid.csv and test.csv as published (TransRAC's,
# ESCounts' *_with_fps.csv or D2-STX's *_with_fps_new.csv; ANNOTATIONS=DIR where they are elsewhere). Published tables
# score 150 to 152 clips: TransRAC's table has 152, D2-STX's 150.
#
#   MODEL      d2stx, transrac, skimfocus or escounts; another one wants another OUT, and may share FEATURES
#   UCFREP, UCFREP_TRUTH, COUNTIX, COUNTIX_TRUTH   videos and tables of other data sets, whose test clips are counted with
#              what was trained on RepCount-A: the cross-data-set columns of the papers
#   OUT        where everything goes; what is there is not made again, and an interrupted run goes on. Name another one
#              for other settings; FEATURES=DIR takes the features of the one before.
#   WEIGHTS    of ENCODER; without it ENCODE=--download fetches torchvision's. POSE_WEIGHTS: of CTR-GCN.
#   EPOCHS     5 of 8 for the branches, the others for the fusion
#   ENCODE, TRAIN, COUNT, SCORE   more options of those commands: TRAIN='--seed 1', SCORE=--exclude-known-bad
#
# RepCount-A has about 0.9 million frames. Encoding them takes about 12 hours of one core, most of it BlazePose's, and
# 9 GB of disk with the embedded encoders; with swin3d_t it wants a GPU too, and about 50 GB. Weights are kept by the
# validation clips. A test clip that cannot be encoded stops the run; to go on without it, take it out of the table.

ROOT    ?=
OUT     ?= repcount-table
ENCODER ?= silhouette
PRESET  ?= small
MODEL   ?= d2stx
RACCTL  ?= racctl
OTHERS  := $(if $(UCFREP),ucfrep) $(if $(COUNTIX),countix)
root_ucfrep   = $(UCFREP)
root_countix  = $(COUNTIX)
truth_ucfrep  = $(UCFREP_TRUTH)
truth_countix = $(COUNTIX_TRUTH)
$(foreach o,$(OTHERS),$(if $(truth_$(o)),,$(error name the table of '$(root_$(o))' with its _TRUTH)))

# paper: as its released code says, but for the learning rate, which falls in steps there and as a cosine here, and for
# the branches, which learn one after the other there. small: not tuned.
epochs_small := 60
train_small  := --batch 8
epochs_paper := 135
train_paper  := --batch 1 --rate 5e-6 --weight-decay 0
EPOCHS ?= $(epochs_$(PRESET))

encode := --encoder $(ENCODER) $(if $(WEIGHTS),--weights $(WEIGHTS))
encode += $(if $(POSE_WEIGHTS),--pose-weights $(POSE_WEIGHTS))
encode += $(if $(filter-out silhouette,$(ENCODER)),--preset escounts)

ANNOTATIONS ?= $(ROOT)/annotation
FEATURES    ?= $(OUT)/features
endings := _with_fps.csv .csv _new.csv _with_fps_new.csv
named   = $(firstword $(wildcard $(foreach end,$(endings),$(ANNOTATIONS)/$(1)$(end))))
table_train := $(call named,train)
table_valid := $(or $(call named,valid),$(call named,val))
table_test  := $(call named,test)
lacking = $(error '$(ANNOTATIONS)' has no $(1).csv; name RepCount-A's folder with ROOT=DIR)
$(foreach split,train valid test,$(if $(table_$(split)),,$(call lacking,$(split))))

define PUBLISHED
Published for RepCount-A's test clips. MAE is what the table above calls MAE@0.1; PoseRAC's alone is without the 0.1.

method                        clips    RMSE    MAE    OBZ    OBO  source
D2-STX, Swin-T                  150   6.811  0.250  0.233  0.493  D2-STX, supplement, Table S7
ESCounts, ViT-B                 151   4.455  0.213  0.245  0.563  D2-STX, supplement, Table S5
ESCounts, ViT-B, run again      150  13.606  0.642  0.147  0.300  D2-STX, supplement, Table S5
RACnet                          150       -  0.444      -  0.393  its README
TransRAC                        151       -  0.443      -  0.291  its README
RepNet, its own weights         152       -  0.331      -  0.533  TransRAC's note on RepNet
PoseRAC, class by the truth     152       -  0.236      -  0.560  its README

Clips: the number that OBO and OBZ are fractions of. PoseRAC counts with the exercise that gives the smallest error.

Published for other data sets, trained on RepCount-A: MAE with 0.1 and OBO.

method         UCFRep         Countix        source
D2-STX         0.297  0.643   0.359  0.605   D2-STX, supplement, Table S6
TransRAC       0.640  0.324   0.593  0.364   the same
HTRM-Net       0.521  0.391       -      -   the same
SkimFocusNet   0.502  0.391       -      -   the same
RACnet         0.526  0.371   0.528  0.392   its README
endef
export PUBLISHED

.PHONY: table
.DELETE_ON_ERROR:
table: $(OUT)/table.txt
	@cat $<

$(OUT)/table.txt: $(OUT)/counts.parquet $(foreach o,$(OTHERS),$(OUT)/$(o).txt)
	$(RACCTL) score --truth $(table_test) $< --format table -o $@.part $(SCORE)
	$(if $(OTHERS),cat $(foreach o,$(OTHERS),$(OUT)/$(o).txt) >> $@.part)
	printf '\n%s\n' "$$PUBLISHED" >> $@.part
	mv $@.part $@

$(OUT)/counts.parquet: $(OUT)/model.safetensors $(FEATURES)/test.done
	$(RACCTL) count --model $< $(FEATURES)/test/*.features.npz -o $@ $(COUNT)

$(OUT)/%.counts.parquet: $(OUT)/model.safetensors $(FEATURES)/%.done
	$(RACCTL) count --model $< $(FEATURES)/$*/*.features.npz -o $@ $(COUNT)

$(foreach o,$(OTHERS),$(OUT)/$(o).txt): $(OUT)/%.txt: $(OUT)/%.counts.parquet
	printf '\n%s, by what was trained on RepCount-A\n\n' $* > $@.part
	$(RACCTL) score --truth $(truth_$*) $< --missing skip --format table $(SCORE) >> $@.part
	mv $@.part $@

# The weights of the best epoch so far are in run/ all the while; they are the model when the last epoch is over.
$(OUT)/model.safetensors: $(FEATURES)/train.done $(FEATURES)/valid.done
	$(RACCTL) train counter $(table_train) --model $(MODEL) -o $(OUT)/run --features $(FEATURES)/train \
	    --val-data $(table_valid) --val-features $(FEATURES)/valid \
	    --preset $(PRESET) --epochs $(EPOCHS) $(train_$(PRESET)) $(TRAIN)
	cp $(OUT)/run/model.safetensors $@

# A clip that cannot be encoded (exit 3) is named and not learned from; of the test clips none may be missing.
$(FEATURES)/test.done:  whole := exit 1
$(FEATURES)/train.done $(FEATURES)/valid.done: whole := test $$? -eq 3
$(FEATURES)/train.done $(FEATURES)/valid.done: encode += --exclude-known-bad
$(foreach o,$(OTHERS),$(FEATURES)/$(o).done): $(FEATURES)/%.done:
	$(RACCTL) encode --dataset $* --root $(root_$*) --split test --annotations $(truth_$*) $(encode) $(ENCODE) \
	    -o $(FEATURES)/$*/ || test $$? -eq 3
	touch $@

$(FEATURES)/%.done:
	$(RACCTL) encode --dataset repcount --root $(ROOT) --split $* --annotations $(table_$*) $(encode) $(ENCODE) \
	    -o $(FEATURES)/$*/ || $(whole)
	touch $@
