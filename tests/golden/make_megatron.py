#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""A model of Megatron (GPTModel of megatron-core) as four processes on the CPU hold it, two of tensor and two of pipeline parallelism:
megatron/torch_dist (with moments of Adam), megatron/legacy (as Megatron-LM's --ckpt-format torch saves it), and megatron.json: what
Megatron loads of the first into one process, cut as Megatron's attention and SwiGLU cut it. Run with megatron-core (0.16.1 made what
is committed)."""
import argparse
import json
import os
import pathlib
import shutil

import torch
import torch.multiprocessing as mp

OUT = pathlib.Path(__file__).parent / "megatron"
LAYERS, HIDDEN, HEADS, GROUPS, FFN, VOCAB, PADDED = 4, 8, 4, 2, 12, 13, 16
ARGS = argparse.Namespace(
    num_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=HEADS, group_query_attention=True, num_query_groups=GROUPS, kv_channels=HIDDEN // HEADS,
    ffn_hidden_size=FFN, vocab_size=VOCAB, padded_vocab_size=PADDED, max_position_embeddings=64, seq_length=64, swiglu=True, normalization="RMSNorm",
    norm_epsilon=1e-5, rotary_base=10000, rotary_percent=1.0, rotary_interleaved=False, position_embedding_type="rope", add_bias_linear=False,
    add_qkv_bias=False, qk_layernorm=False, untie_embeddings_and_output_weights=True, transformer_impl="local", bf16=False, params_dtype=torch.float32,
    iteration=3, num_experts=None)
torch.cuda.synchronize = lambda *_: None  # the writer asks for a GPU that is not there
torch.cuda.current_device = lambda: "cpu"


def make(tp, pp):
    from megatron.core import parallel_state
    from megatron.core.models.gpt.gpt_layer_specs import get_gpt_layer_local_spec
    from megatron.core.models.gpt.gpt_model import GPTModel
    from megatron.core.transformer.transformer_config import TransformerConfig
    parallel_state.initialize_model_parallel(tensor_model_parallel_size=tp, pipeline_model_parallel_size=pp)
    config = TransformerConfig(
        num_layers=LAYERS, hidden_size=HIDDEN, num_attention_heads=HEADS, num_query_groups=GROUPS, ffn_hidden_size=FFN, use_cpu_initialization=True,
        gated_linear_unit=True, activation_func=torch.nn.functional.silu, add_bias_linear=False, normalization="RMSNorm", layernorm_epsilon=1e-5,
        tensor_model_parallel_size=tp, pipeline_model_parallel_size=pp, pipeline_dtype=torch.float32, gradient_accumulation_fusion=False,
        masked_softmax_fusion=False, bias_activation_fusion=False, persist_layer_norm=False)
    return GPTModel(config, get_gpt_layer_local_spec(normalization="RMSNorm"), vocab_size=PADDED, max_sequence_length=64,
                    pre_process=parallel_state.is_pipeline_first_stage(), post_process=parallel_state.is_pipeline_last_stage(),
                    share_embeddings_and_output_weights=False, position_embedding_type="rope")


def optimizer_of(model):
    torch.manual_seed(9)
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    optimizer.step()
    return optimizer


def sharded(model, optimizer):
    from megatron.core.dist_checkpointing.optimizer import get_param_id_to_sharded_param_map, optim_state_to_sharding_state
    state = model.sharded_state_dict()
    kept = optimizer.state_dict()
    ids = get_param_id_to_sharded_param_map(state, model.parameters())
    optim_state_to_sharding_state(kept, ids, exclude_keys="step")
    for entry in kept["state"].values():
        entry.pop("step", None)
    return {"model": state, "optimizer": kept, "args": ARGS, "checkpoint_version": 3.0, "iteration": 3}


def start(index, count):
    os.environ.update(MASTER_ADDR="127.0.0.1", MASTER_PORT=str(29700 + count), RANK=str(index), LOCAL_RANK=str(index), WORLD_SIZE=str(count))
    torch.distributed.init_process_group("gloo", rank=index, world_size=count)


def save(index):
    start(index, 4)
    from megatron.core import dist_checkpointing, parallel_state
    model = make(2, 2)
    with torch.no_grad():  # norms that are not all one
        for name, parameter in model.named_parameters():
            if parameter.ndim == 1:
                parameter.copy_(torch.linspace(0.5, 1.5, parameter.numel()))
    optimizer = optimizer_of(model)
    path = OUT / "torch_dist"
    if index == 0:
        path.mkdir()
    torch.distributed.barrier()
    dist_checkpointing.save(sharded(model, optimizer), str(path))
    tp, pp = parallel_state.get_tensor_model_parallel_rank(), parallel_state.get_pipeline_model_parallel_rank()
    folder = OUT / f"legacy/iter_0000003/mp_rank_{tp:02d}_{pp:03d}"
    folder.mkdir(parents=True)
    torch.save({"args": ARGS, "checkpoint_version": 3.0, "iteration": 3, "model": model.state_dict_for_save_checkpoint()}, folder / "model_optim_rng.pt")
    torch.distributed.barrier()


def cut(name, tensor):
    """The parts of a fused tensor, as SelfAttention.get_query_key_value_tensors and the MLP's chunk take them."""
    if "linear_qkv" in name:
        size, queries = HIDDEN // HEADS, HEADS // GROUPS
        grouped = tensor.reshape(GROUPS, (queries + 2) * size, *tensor.shape[1:])
        return dict(zip("qkv", (part.reshape(-1, *tensor.shape[1:]) for part in grouped.split([queries * size, size, size], dim=1))))
    if "linear_fc1" in name:
        return dict(zip(("gate", "up"), tensor.chunk(2)))
    return {"": tensor[:VOCAB] if "word_embeddings" in name or "output_layer" in name else tensor}


def load(_):
    start(0, 1)
    from megatron.core import dist_checkpointing
    model = make(1, 1)
    optimizer = optimizer_of(model)
    state = dist_checkpointing.load(sharded(model, optimizer), str(OUT / "torch_dist"))
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    rows = {}
    for index, parameter in enumerate(model.parameters()):
        name = names[id(parameter)]
        kept = state["optimizer"]["state"][index]
        for kind, tensor in (("param", state["model"][name]), ("m", kept["exp_avg"]), ("v", kept["exp_avg_sq"])):
            for part, value in cut(name, tensor).items():
                rows[f"{name} {part} {kind}"] = {"shape": list(value.shape), "bytes": bytes(value.detach().contiguous().view(-1).view(torch.uint8).numpy()).hex()}
    (OUT.parent / "megatron.json").write_text(json.dumps(rows))


if __name__ == "__main__":
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    mp.spawn(save, nprocs=4)
    (OUT / "legacy/latest_checkpointed_iteration.txt").write_text("3")
    mp.spawn(load, nprocs=1)
