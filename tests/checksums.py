"""Checksums of the tables that were held against what they are from: a changed digit shows.

`python3 -m tests.checksums` prints them as they are now, to be pasted here when a row that differs
has been checked again.
"""

from __future__ import annotations

import sys
import textwrap
import zlib
from collections.abc import Mapping

import attn_bottleneck
from tests import fit
from tests.support import catalogue_rows, class_defaults, type_entries

# CRC-32 of each row. Of GPUs and models: checked against ../shared/facts (datasheets and product
# pages, two sources each).
GPU_ROWS = """
A100:a301232e A100-80GB-PCIe:3615779a A100-80GB-SXM:b23807cf A100-40GB-PCIe:2ec0455b
A100-40GB-SXM:26c8839a H100-SXM:bc0b7aef H100-PCIe:c3d34bac H100-NVL:306ca8b6 H200-SXM:dcb9305c
H200-NVL:a8fe31e3 H20:1ebdc7cb H800-SXM:205b0881 B200-SXM:6f0e9b3b B300-SXM:61064e48 GB200:9103664c
GB300:4d15a5e6 V100-SXM2-32GB:2c55e5b6 P100-SXM2-16GB:648553c1 T4:c01bd5b1 L4:583b0dfb L40S:79f63807
L40:d8149e73 A10:4a04247b A30:93e9ba3e A40:00a45e86 RTX-A6000:d8d20bbb RTX-6000-Ada:f5da8c60
RTX-PRO-6000-Server:6400809e RTX-PRO-6000-Workstation:3adcc88f RTX-3090:f4de0a82 RTX-4090:b6a6d790
RTX-5090:1e8c81c6 MI210:75d4ff11 MI250X:fc8d7fd3 MI300X:75d531f4 MI325X:17b8a705 MI350X:d061364e
MI355X:0174d126 Gaudi2:49d4ee14 Gaudi3:b141004c Max-1550:9a06d987 Arc-Pro-B60:0f4bd90f
TPU-v4:c663b141 TPU-v5e:36cae99c TPU-v5p:4f273bd9 TPU-v6e:a2725990 TPU-v7:6cf5ba05 M2-Ultra:fc39b6e9
M3-Max:63199af7 M4-Max:708e9253
"""
MODEL_ROWS = """
gpt3-175b:547b2531 llama-2-7b:8c1e3de5 llama-2-70b:ed51ba41 llama-3.1-8b:736c99f5
llama-3.1-70b:31dd5fb5 llama-3.3-70b:e244a7af llama-3.1-405b:3d0b891e llama-4-scout:f8027a29
llama-4-maverick:413b8792 mistral-7b-v0.1:3e4cc340 mixtral-8x7b:b704e994 qwen2-72b:1e91e136
qwen3-4b:5b5bcc15 qwen3-8b:8cb537f9 qwen3-14b:829039ca qwen3-32b:c92de42b qwen3-30b-a3b:83fe9680
qwen3-235b-a22b:0a611976 gemma-2-27b:e141d81e gemma-3-27b:02ebfadd gpt-oss-20b:df924542
gpt-oss-120b:af815fd2 deepseek-v2-lite:e5f3f7e9 deepseek-v3:916023d7 deepseek-r1:d3d5c5b3
kimi-k2:ea946a0a kimi-k2.5:3bd8b131 minimax-m2.5:0a6126a2 falcon-7b:d0bbad8e
"""
# Checked against the fits of test_fit.py.
ARCHITECTURE_ROWS = """
Ampere:cd1fc9b5 Hopper:14bf8a07 Blackwell:2117ee05 Blackwell-Ultra:feca4100 Ada:cd0d72b8
Blackwell-RTX:d5b5bb40
"""
# Where fits begin: from other values they end at other third digits.
FIT_START = """
launch_us:8d076785 wave_us:84b12bae tile_us:1ad5be0d exponentials:f3b61b38
compute_efficiency:1f97a037 bandwidth_efficiency:a290348f latent_bandwidth_efficiency:f82f8d30
link_latency_us:6dd28e9b link_hop_us:f199c11b link_two_shot_us:84b12bae link_library_us:fa1a82ad
link_efficiency:689090a1 pcie_latency_us:6dd28e9b pcie_hop_us:875c9bba pcie_efficiency:1f97a037
"""
# What is known of each model type, and of classes with defaults of their own: checked against
# ../shared/hf_classes, what transformers 5.23 builds of the same configs, or a type's own code.
TYPE_ENTRIES = """
apertus:a3a6bf43 arcee:a3a6bf43 aria_text:a3a6bf43 biogpt:a3a6bf43 ctrl:a3a6bf43
deepseek_ocr2_text:a3a6bf43 diffllama:a3a6bf43 flex_olmo:a3a6bf43 git:a3a6bf43 gpt_neox:a3a6bf43
gpt_neox_japanese:a3a6bf43 granite:a3a6bf43 granite4_vision_text:a3a6bf43 granitemoe:a3a6bf43
granitemoeshared:a3a6bf43 hunyuan_v1_dense:a3a6bf43 hunyuan_v1_moe:a3a6bf43 hunyuan_vl_text:a3a6bf43
hyperclovax:a3a6bf43 jais2:a3a6bf43 kosmos_2_5_text_model:a3a6bf43 kosmos_2_text_model:a3a6bf43
llama:a3a6bf43 nanochat:a3a6bf43 olmo:a3a6bf43 olmo2:a3a6bf43 openai-gpt:a3a6bf43 persimmon:a3a6bf43
phi:a3a6bf43 xglm:a3a6bf43 Yi:a3a6bf43 aquila:a3a6bf43 baichuan:a3a6bf43 deepseek:a3a6bf43
internlm:a3a6bf43 internlm2:a3a6bf43 llava_llama:a3a6bf43 stablelm_epoch:a3a6bf43 xverse:a3a6bf43
afmoe:35d661f7 axk1:b3b30252 axk2:e17cbc1f bailing_hybrid:8ec84b2c bamba:6ac5442a beam:fa54be44
bitnet:169d5628 blip_text_model:aa476fb9 bloom:e43651e2 chameleon:25906e5a codegen:a13bc70c
cohere:0f107d2d cohere2:593429bc cohere2_moe:80c685f9 cohere_compass_text:593429bc
cosmos3_edge_text:fe0e9410 cpmant:17837a01 csm:e45787e8 cwm:fe31d3fa dbrx:73fc6e66
deepseek_v2:b3b30252 deepseek_v3:b3b30252 deepseek_v32:b3b30252 deepseek_v4:a3a6bf43
gemma3n_text:7d680aac mimo_v2_flash:e842c4f6 mimo_v2:7fabae5f longcat_flash:e17cbc1f dots1:b2b61e51
emu3_text_model:f5410f23 ernie4_5:831b8f64 ernie4_5_moe:59f4402f ernie4_5_vl_moe_text:59f4402f
evolla:e45787e8 exaone4:b2b61e51 exaone_moe:b2b61e51 falcon:e43651e2 falcon_h1:2f8e9d02
flint:1ef8c39d gemma:3de77398 gemma2:d7e48663 gemma3_text:d7e48663 gemma4_text:d7e48663
gemma4_unified_text:d7e48663 glm:831b8f64 glm4:831b8f64 glm4_moe:f5410f23 glm4_moe_lite:b3b30252
glm4v_moe_text:f5410f23 glm4v_text:0faee7a9 glm_image_text:73446868 glm_moe_dsa:b3b30252
glm_ocr_text:f5410f23 gpt2:e43651e2 gpt_bigcode:e43651e2 gpt_neo:47654bfe gpt_oss:bf01f8df
gptj:a13bc70c granite_docling_text:59f4402f granite_swa:ad5dc324 granitemoe_swa:593429bc
granitemoehybrid:778128e9 helium:a06b1401 hrm_text:70930718 hy_v3:fe0e9410 hy_v4:e17cbc1f
idefics:aa476fb9 inkling2_text:8fdab8bb inkling_text:0ea66c50 internlm3:831b8f64
iquestcoder:fe0e9410 jamba:5311afeb jetmoe:2a51e3cc kimi_linear:9f4d7f44 kolibri1:1ef8c39d
laguna:fe31d3fa lfm2:b01030a5 lfm2_moe:b01030a5 lfm3:8ef57c08 llama4_text:7f6b4843 mellum:1ef8c39d
minicpm3:b3b30252 minimax:5f685c45 minimax_m2:fe0e9410 minimax_m3_vl_text:1ec78477
ministral:6d47b8f2 ministral3:2d4d211a mistral:6d47b8f2 mistral4:b3b30252 mixtral:6d47b8f2
mllama_text_model:206f93d0 modernbert-decoder:d02c096d molmo2_text:fe0e9410 moshi:8402052b
mpt:e43651e2 muse_glimmer_text:7e9dfe9d muse_spark_text:1a53d13e nemotron:73fc6e66
nemotron_h:9cb33f2a olmo3:593429bc olmo_hybrid:0b9ae27c olmoe:1fdaba01 opt:0f107d2d
paddleocr_vl_text:831b8f64 phi3:1fdaba01 phi4_multimodal:6d47b8f2 phimoe:6d47b8f2 qwen2:30c2ff1c
qwen2_5_omni_text:80a507d2 qwen2_5_vl_text:c27af575 qwen2_moe:d55e0f3b qwen2_vl_text:c27af575
qwen3:ff88013d qwen3_5_moe_text:b7d56707 qwen3_5_text:2a096c14 qwen3_moe:ad5dc324
qwen3_next:b7d56707 qwen3_omni_moe_text:59f4402f qwen3_vl_moe_text:42787f30 qwen3_vl_text:b1b829b6
recurrent_gemma:4c67b84e seed_oss:fe0e9410 smollm3:ad5dc324 solar_open:fe0e9410 stablelm:25906e5a
starcoder2:86c26dbe step3_text:aa476fb9 step3p5:fe31d3fa vaultgemma:97815778
voxtral_realtime_text:92252838 youtu:b3b30252 zamba:bbd1447d zamba2:6bb02dfc zaya:4348fcb0
RefinedWeb:e43651e2 RefinedWebModel:e43651e2 btlm:aa476fb9 bunny-phi:aa476fb9 chatglm:aa476fb9
codeshell:aa476fb9 cogvlm:aa476fb9 deci:75d65c27 hf_olmo:aa476fb9 jais:aa476fb9 kimi_k2:b3b30252
minicpm:aa476fb9 mixformer-sequential:aa476fb9 molmo:aa476fb9 moss:aa476fb9 nemotron-nas:7becb12c
phi-msft:aa476fb9 plamo:aa476fb9 qwen:aa476fb9 telechat:aa476fb9 yuan:aa476fb9 unchecked:cb143ef8
"""
DEFAULT_ROWS = """
llama,mistral,qwen2,qwen3:8b1bdd0b gemma3_text:ef1378a9 gemma4_text,gemma4_unified_text:08205a3f
gemma2,gpt_oss,vaultgemma:06b38d53 gemma3_text,gemma4_text,gemma4_unified_text:b6be1904
cohere2,exaone4,exaone_moe,llama4_text,olmo3:7ec9e186
cohere2,gemma2,gemma3_text,ministral,mistral:b4c3eef2 exaone4,exaone_moe,olmo3:f46621a3
falcon,RefinedWeb,RefinedWebModel,gpt_bigcode:23ac740b
qwen2,qwen2_moe,qwen2_vl_text,qwen2_5_vl_text,qwen3,smollm3:35902ac3 llama4_text:d93666b3
jamba:ebda4b1a qwen3_next,qwen3_5_text,qwen3_5_moe_text:6e11fcca
qwen3_next,qwen3_5_text,qwen3_5_moe_text,olmo_hybrid,kimi_linear:7c3bb439 kimi_linear:6ccc60d6
nemotron_h:7461dd40 bamba,granitemoehybrid,falcon_h1:99819858 falcon_h1:382f020c zamba2:ce7c2826
jamba,zamba:72cb1e66 jamba,zamba,zamba2:42479d14 recurrent_gemma:e4e2590c lfm2,lfm2_moe:d4c7ab73
lfm3:6c730c70 mimo_v2_flash:05733df5
"""
CHECKED = {
    "GPU_ROWS": GPU_ROWS,
    "MODEL_ROWS": MODEL_ROWS,
    "ARCHITECTURE_ROWS": ARCHITECTURE_ROWS,
    "FIT_START": FIT_START,
    "TYPE_ENTRIES": TYPE_ENTRIES,
    "DEFAULT_ROWS": DEFAULT_ROWS,
}


def rows_of(table: str) -> Mapping[str, str]:
    """The rows of a table by name, as they are now."""
    if table == "GPU_ROWS":
        return catalogue_rows(attn_bottleneck.GPUS)
    if table == "MODEL_ROWS":
        return catalogue_rows(attn_bottleneck.MODELS)
    if table == "ARCHITECTURE_ROWS":
        return catalogue_rows(attn_bottleneck.ARCHITECTURES)
    if table == "FIT_START":
        return {key: str(value) for key, value in fit.START.items()}
    if table == "TYPE_ENTRIES":
        return type_entries()
    return class_defaults()


def checksums_now(table: str) -> dict[str, str]:
    """The checksum of each row by its name, as they are now."""
    return {name: f"{zlib.crc32(row.encode()):08x}" for name, row in rows_of(table).items()}


def checked_sums(table: str) -> dict[str, str]:
    """The checksum of each row by its name, as they were checked."""
    sums = {}
    for entry in CHECKED[table].split():
        name, checksum = entry.split(":")
        sums[name] = checksum
    return sums


def differences(table: str) -> list[str]:
    """A line for each row that is not as it was checked, and at the end how to renew the table."""
    checked = checked_sums(table)
    now = checksums_now(table)
    rows = rows_of(table)
    lines = []
    for name in [*now, *(name for name in checked if name not in now)]:
        before = checked.get(name, "none")
        after = now.get(name, "none")
        if before != after:
            row = rows.get(name, "no row")
            lines.append(f"{table}: {name}: checksum {before} was checked, is now {after}: {row}")
    if not lines and list(checked) != list(now):
        lines.append(f"{table}: the order of the rows was {list(checked)}, is now {list(now)}")
    if lines:
        lines.append("Where these are right: python3 -m tests.checksums prints the tables anew.")
    return lines


def table_text(table: str) -> str:
    """A table of this file as it has to be now."""
    entries = [f"{name}:{checksum}" for name, checksum in checksums_now(table).items()]
    lines = textwrap.fill(" ".join(entries), 100, break_on_hyphens=False, break_long_words=False)
    return f'{table} = """\n{lines}\n"""\n'


if __name__ == "__main__":
    for table_name in CHECKED:
        sys.stdout.write(table_text(table_name))
