# D2-STX and the systems that it is compared with, on the same clips and the same tokens, in one table.
#
#   make -f tests/benchmarks/systems.mk table OUT=DIR DATA=/data
#
# Everything is as in d2stx.mk, which this includes: the drawn clips in three versions, the tests, DATA, POSE, EPOCHS. All
# systems but D2-STX look at the tokens of the picture. Each learns from its own targets by its own loss, at the size that
# two cores can train (`--preset small`); published sizes are those of `--preset paper`. "htrm" is TransRAC with the parts
# of HTRM-Net, whose inner sizes are not public.

SYSTEMS := transrac htrm skimfocus escounts
options_transrac  := --model transrac
options_htrm      := --model transrac --similarity joint --matrix-drop 0.2 --neighbours 3 --scale-fusion gate
options_skimfocus := --model skimfocus
options_escounts  := --model escounts --shots 1
$(foreach m,transrac htrm skimfocus,$(eval rate_$(m) := 5e-4))

ROWS     := systems
COMPARED := learned $(SYSTEMS)

include $(dir $(lastword $(MAKEFILE_LIST)))d2stx.mk
