// SPDX-License-Identifier: Apache-2.0
// The formats that models name but often carry no template for. Each marks what the assistant says.
#include "core/data/chat/chat_template.h"

namespace strata {
namespace {

constexpr BuiltInChatTemplate kTemplates[] = {
    // <|im_start|>role\ncontent<|im_end|>\n
    {"chatml", R"({% for message in messages %}
{{ '<|im_start|>' + message['role'] + '\n' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] + '<|im_end|>' }}{% endgeneration %}
{% else %}
{{ message['content'] + '<|im_end|>' }}{% endif %}
{{ '\n' }}{% endfor %}
{% if add_generation_prompt %}
{{ '<|im_start|>assistant\n' }}{% endif %})"},
    // <|start_header_id|>role<|end_header_id|>\n\ncontent<|eot_id|>, trimmed content
    {"llama3", R"({{ bos_token }}{% for message in messages %}
{{ '<|start_header_id|>' + message['role'] + '<|end_header_id|>\n\n' }}{% if message['role'] == 'assistant' %}{% generation %}{{ message['content'] | trim + '<|eot_id|>' }}{% endgeneration %}
{% else %}
{{ message['content'] | trim + '<|eot_id|>' }}{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<|start_header_id|>assistant<|end_header_id|>\n\n' }}{% endif %})"},
    // <s>[INST] user [/INST] assistant</s>; a system message goes into the first user's
    {"mistral", R"({% set system = '' %}
{% if messages and messages[0]['role'] == 'system' %}
{% set system = messages[0]['content'] + '\n\n' %}
{% set messages = messages[1:] %}
{% endif %}
{{ bos_token }}{% for message in messages %}
{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}
{{ raise_exception('user and assistant must take turns, the user first') }}
{% endif %}
{% if message['role'] == 'user' %}
{{ '[INST] ' + (system if loop.first else '') + message['content'] + ' [/INST]' }}{% elif message['role'] == 'assistant' %}
{{ ' ' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}
{% else %}
{{ raise_exception('the roles are system, user and assistant, not ' + message['role']) }}
{% endif %}
{% endfor %})"},
    // <｜User｜>content<｜Assistant｜>content<｜end▁of▁sentence｜>, system first without a mark
    {"deepseek", R"({{ bos_token }}{% for message in messages %}
{% if message['role'] == 'system' %}
{{ message['content'] }}{% elif message['role'] == 'user' %}
{{ '<｜User｜>' + message['content'] }}{% elif message['role'] == 'assistant' %}
{{ '<｜Assistant｜>' }}{% generation %}{{ message['content'] + eos_token }}{% endgeneration %}
{% else %}
{{ raise_exception('the roles are system, user and assistant, not ' + message['role']) }}
{% endif %}
{% endfor %}
{% if add_generation_prompt %}
{{ '<｜Assistant｜>' }}{% endif %})"},
};

}  // namespace

std::span<const BuiltInChatTemplate> built_in_chat_templates() { return kTemplates; }

}  // namespace strata
