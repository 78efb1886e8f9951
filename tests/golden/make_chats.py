#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes tests/golden/chats.json: chat templates rendered by transformers' own Jinja environment. The templates are ours,
written after the formats that the families document, with every construct that theirs use; and small ones, one for each
filter, test and method. Needs PyPI transformers 5 and jinja2 3.1.

    python3 tests/golden/make_chats.py
"""
import json
import pathlib
import re

from transformers.utils.chat_template_utils import _compile_jinja_template, render_jinja_template

ROOT = pathlib.Path(__file__).parents[2]
HERE = pathlib.Path(__file__).parent

TEMPLATES = {
    "default_system": """{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system
You are a helpful assistant.<|im_end|>
' }}{% endif %}{{'<|im_start|>' + message['role'] + '
' + message['content'] + '<|im_end|>' + '
'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant
' }}{% endif %}""",
    "tools_chatml": """{%- if tools %}
    {{- '<|im_start|>system\\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\\n\\n' }}
    {%- endif %}
    {{- "# Tools\\n\\nFunctions are between <tools></tools>:\\n<tools>" }}
    {%- for tool in tools %}
        {{- "\\n" }}
        {{- tool | tojson }}
    {%- endfor %}
    {{- "\\n</tools><|im_end|>\\n" }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\\n' + messages[0].content + '<|im_end|>\\n' }}
{%- endif %}
{%- set ns = namespace(multi_step=true, last=messages|length - 1) %}
{%- for message in messages[::-1] %}
    {%- set index = (messages|length - 1) - loop.index0 %}
    {%- if ns.multi_step and message.role == "user" and message.content is string and not(message.content.startswith('<tool_response>') and message.content.endswith('</tool_response>')) %}
        {%- set ns.multi_step = false %}
        {%- set ns.last = index %}
    {%- endif %}
{%- endfor %}
{%- for message in messages %}
    {%- set content = message.content if message.content is string else '' %}
    {%- if message.role == "user" or (message.role == "system" and not loop.first) %}
        {{- '<|im_start|>' + message.role + '\\n' + content + '<|im_end|>' + '\\n' }}
    {%- elif message.role == "assistant" %}
        {%- set reasoning = '' %}
        {%- if message.reasoning is string %}
            {%- set reasoning = message.reasoning %}
        {%- elif '</think>' in content %}
            {%- set reasoning = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}
            {%- set content = content.split('</think>')[-1].lstrip('\\n') %}
        {%- endif %}
        {%- if loop.index0 > ns.last and (loop.last or reasoning) %}
            {{- '<|im_start|>' + message.role + '\\n<think>\\n' + reasoning.strip('\\n') + '\\n</think>\\n\\n' + content.lstrip('\\n') }}
        {%- else %}
            {{- '<|im_start|>' + message.role + '\\n' + content }}
        {%- endif %}
        {%- for call in message.tool_calls or [] %}
            {%- if (loop.first and content) or not loop.first %}{{- '\\n' }}{%- endif %}
            {%- if call.function %}{%- set call = call.function %}{%- endif %}
            {{- '<tool_call>\\n{"name": "' ~ call.name ~ '", "arguments": ' }}
            {%- if call.arguments is string %}{{- call.arguments }}{%- else %}{{- call.arguments | tojson }}{%- endif %}
            {{- '}\\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\\n' }}
    {%- elif message.role == "tool" %}
        {%- if loop.first or (messages[loop.index0 - 1].role != "tool") %}{{- '<|im_start|>user' }}{%- endif %}
        {{- '\\n<tool_response>\\n' ~ content ~ '\\n</tool_response>' }}
        {%- if loop.last or (messages[loop.index0 + 1].role != "tool") %}{{- '<|im_end|>\\n' }}{%- endif %}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\\n' }}
    {%- if enable_thinking is defined and enable_thinking is false %}{{- '<think>\\n\\n</think>\\n\\n' }}{%- endif %}
{%- endif %}
""",
    "llama_tools": """{{- bos_token }}
{%- if custom_tools is defined %}{%- set tools = custom_tools %}{%- endif %}
{%- if not date_string is defined %}{%- set date_string = "26 Jul 2024" %}{%- endif %}
{%- if not tools is defined %}{%- set tools = none %}{%- endif %}
{#- The system message comes out of the list, so that it can be put where we like. #}
{%- if messages[0]['role'] == 'system' %}
    {%- set system_message = messages[0]['content']|trim %}
    {%- set messages = messages[1:] %}
{%- else %}
    {%- set system_message = "" %}
{%- endif %}
{{- "<|start_header_id|>system<|end_header_id|>\\n\\n" }}
{%- if tools is not none %}{{- "Environment: ipython\\n" }}{%- endif %}
{{- "Today Date: " + date_string + "\\n\\n" }}
{%- if tools is not none %}
    {%- for t in tools %}
        {{- t | tojson(indent=4) }}
        {{- "\\n\\n" }}
    {%- endfor %}
{%- endif %}
{{- system_message + "<|eot_id|>" }}
{%- for message in messages %}
    {%- if not (message.role == 'ipython' or message.role == 'tool' or 'tool_calls' in message) %}
        {{- '<|start_header_id|>' + message['role'] + '<|end_header_id|>\\n\\n'+ message['content'] | trim + '<|eot_id|>' }}
    {%- elif 'tool_calls' in message %}
        {%- if not message.tool_calls|length == 1 %}{{- raise_exception("One tool call at a time!") }}{%- endif %}
        {%- set tool_call = message.tool_calls[0].function %}
        {{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' -}}
        {%- for arg_name, arg_val in tool_call.arguments | items %}
            {{- arg_name + '="' ~ arg_val ~ '"' }}{%- if not loop.last %}{{- ", " }}{%- endif %}
        {%- endfor %}
        {{- "<|eot_id|>" }}
    {%- elif message.role == "tool" or message.role == "ipython" %}
        {{- "<|start_header_id|>ipython<|end_header_id|>\\n\\n" }}
        {%- if message.content is mapping or message.content is iterable %}{{- message.content | tojson }}{%- else %}{{- message.content }}{%- endif %}
        {{- "<|eot_id|>" }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}{{- '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{%- endif %}""",
    "mistral_turns": """{%- if messages[0]["role"] == "system" %}{%- set system_message = messages[0]["content"] %}{%- set loop_messages = messages[1:] %}
{%- else %}{%- set loop_messages = messages %}{%- endif %}
{%- set user_messages = loop_messages | selectattr("role", "equalto", "user") | list %}
{%- set ns = namespace() %}{%- set ns.index = 0 %}
{%- for message in loop_messages %}
    {%- if not (message.role == "tool" or (message.tool_calls is defined and message.tool_calls is not none)) %}
        {%- if (message["role"] == "user") != (ns.index % 2 == 0) %}{{- raise_exception("roles must alternate") }}{%- endif %}
        {%- set ns.index = ns.index + 1 %}
    {%- endif %}
{%- endfor %}
{{- bos_token }}
{%- for message in loop_messages %}
    {%- if message["role"] == "user" %}
        {%- if tools is not none and (message == user_messages[-1]) %}{{- "[AVAILABLE_TOOLS] [" }}{%- for tool in tools %}{{- tool | tojson }}{{- ", " if not loop.last }}{%- endfor %}{{- "][/AVAILABLE_TOOLS]" }}{%- endif %}
        {%- if loop.last and system_message is defined %}{{- "[INST] " + system_message + "\\n\\n" + message["content"] + "[/INST]" }}
        {%- else %}{{- "[INST] " + message["content"] + "[/INST]" }}{%- endif %}
    {%- elif message["role"] == "tool" %}{{- '[TOOL_RESULTS] {"content": ' + message.content|string + "}[/TOOL_RESULTS]" }}
    {%- elif message["role"] == "assistant" %}
        {%- if message.content is string %}{{- " " + message["content"]|trim + eos_token }}{%- else %}{{- "[TOOL_CALLS] " + (message.tool_calls | tojson) + eos_token }}{%- endif %}
    {%- else %}{{- raise_exception("Only user and assistant roles are supported!") }}{%- endif %}
{%- endfor %}""",
    "deepseek_thinking": """{% if not add_generation_prompt is defined %}{% set add_generation_prompt = false %}{% endif %}{% set ns = namespace(is_first=false, is_tool=false, system_prompt='') %}{%- for message in messages %}{%- if message['role'] == 'system' %}{% set ns.system_prompt = message['content'] %}{%- endif %}{%- endfor %}{{bos_token}}{{ns.system_prompt}}{%- for message in messages %}{%- if message['role'] == 'user' %}{%- set ns.is_tool = false -%}{{'<|User|>' + message['content']}}{%- endif %}{%- if message['role'] == 'assistant' and message['content'] is not none %}{%- if ns.is_tool %}{{'<|tool▁outputs▁end|>' + message['content'] + eos_token}}{%- set ns.is_tool = false -%}{%- else %}{% set content = message['content'] %}{% if '</think>' in content %}{% set content = content.split('</think>')[-1] %}{% endif %}{{'<|Assistant|>' + content + eos_token}}{%- endif %}{%- endif %}{%- if message['role'] == 'tool' %}{%- set ns.is_tool = true -%}{{'<|tool▁output▁begin|>' + message['content']}}{%- endif %}{%- endfor -%}{% if add_generation_prompt and not ns.is_tool %}{{'<|Assistant|><think>\\n'}}{% endif %}""",
    "gemma_turns": """{{ bos_token }}{% if messages[0]['role'] == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}{% for message in messages %}{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Conversation roles must alternate') }}{% endif %}{% if (message['role'] == 'assistant') %}{% set role = 'model' %}{% else %}{% set role = message['role'] %}{% endif %}{{ '<start_of_turn>' + role + '
' + message['content'] | trim + '<end_of_turn>
' }}{% endfor %}{% if add_generation_prompt %}{{'<start_of_turn>model
'}}{% endif %}""",
    "blocks": """{% macro said(message, mark='|') %}
  {{- mark }}{{ message.role|upper }}: {{ message.content|trim -}}
{% endmacro %}

{# a comment
   of two lines #}
  {% for message in messages if message.role != 'tool' %}
    {% if loop.index is even %}
    even {{ loop.revindex }} of {{ loop.length }} {{ loop.cycle('a', 'b') }}
    {% endif %}
{{ said(message) }}
{{ said(message, mark='>>') }}
    {%+ if loop.last +%}
    last
    {% endif %}
  {% else %}
nobody
  {% endfor %}
{% set text %}
block of {{ messages|length }}
{% endset %}
[{{ text }}]
{% for message in messages %}{% if loop.index0 == 1 %}{% continue %}{% endif %}{% if loop.index0 > 2 %}{% break %}{% endif %}{{ loop.previtem.role if loop.previtem is defined }}<{{ message.role }}{% endfor %}

""",
}
SYSTEM, USER = {"role": "system", "content": " Be brief.\n"}, {"role": "user", "content": "Hi, \"Zoë\" <b>&amp;</b> 中文 🙂?  "}
CALL = {"role": "assistant", "content": None, "tool_calls": [{"type": "function", "id": "c1", "function": {"name": "add", "arguments": {"a": 1, "b": [2.5, None, True], "c": "é\n\t\"q\""}}}]}
CONVERSATIONS = [
    [USER],
    [SYSTEM, USER],
    [USER, {"role": "assistant", "content": "Hello."}, {"role": "user", "content": "Again\n\n"}, {"role": "assistant", "content": " <think>\nhm\n</think>\n\nYes  "}],
    [SYSTEM, USER, {"role": "assistant", "content": "A"}, {"role": "user", "content": ""}],
    [USER, CALL, {"role": "tool", "content": "3"}, {"role": "tool", "content": "4"}, {"role": "assistant", "content": "It is 7."}],
    [{"role": "assistant", "content": "first"}, USER],
    [],
]
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds <numbers> & more", "parameters": {"type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"], "extra": [], "none": {}}}}]

EXPRESSIONS = r"""
'a b c'.split() | 'a,b,,c'.split(',') | 'a,b,c'.split(',', 1) | 'a,b,c'.rsplit(',', 1) | '  x '.strip() | 'xxaxx'.strip('x') | 'xxa'.lstrip('x') | 'axx'.rstrip('x')
'hello world'.title() | 'hELLO'.capitalize() | 'a-b'.replace('-', '+') | 'aaa'.replace('a', 'b', 2) | 'abc'.startswith(('a', 'x')) | 'abc'.endswith('c') | 'a\nb\n'.splitlines()
'abc'.find('c') | 'éab'.find('b') | 'abcabc'.count('bc') | '-'.join(['a', 'b']) | 'prefix-x'.removeprefix('prefix-') | '12'.isdigit()
'hello'[1:3] | 'hello'[::-1] | 'héllo'[-4:] | [1,2,3,4][::2] | [1,2,3][-1] | [1,2,3][5] is defined | 'abc'[0]
1 + 2 * 3 ** 2 | 7 // 2 | -7 // 2 | 7 % 3 | -7 % 3 | 7 / 2 | 6 / 2 | 2.5 * 2 | -3|abs | (1 + 2) * 3 | 1.0
1 ~ 'a' ~ none ~ true | 'ab' * 3 | [1] + [2] | 'a' in 'abc' | 'x' not in ['x'] | 1 in [1.0] | 'k' in {'k': 1} | not true or true and false
1 if true else 2 | 1 if false | 'a' < 'b' | 2 >= 2.0 | none == none | [1, 'a'] == [1, 'a'] | {'a': 1}['a'] | {'a': {'b': 2}}.a.b | {'a': 1}.get('b', 3) | {'a': 1}.get('b')
['b', 'A', 'c']|sort | ['b', 'A', 'c']|sort(reverse=true) | [3, 1, 2]|sort | {'b': 1, 'a': 2}|dictsort|map('join', '=')|list | {'b': 1}|items|map('last')|list | {'b': 1}.items()|map('first')|list | [1, 2, 1]|unique|list
[1, 2, 3]|join(', ') | [{'a': 1}, {'a': 2}]|join('-', attribute='a') | [{'a': 1}, {'a': 2}]|map(attribute='a')|list | ['a', 'b']|map('upper')|list | [1, 2, 3]|select('odd')|list | [0, 1]|reject|list
[{'r': 'u'}, {'r': 's'}]|selectattr('r', 'equalto', 'u')|list | [{'r': 'u'}, {'r': 's'}]|rejectattr('r', '==', 'u')|list | [{'t': 1}, {}]|selectattr('t', 'defined')|list | [{'t': 1}, {}]|selectattr('t')|list
missing|default('d') | ''|default('d') | ''|default('d', true) | none|default('d') | 'x'|length | 'é🙂'|length | [1, 2]|first | [1, 2]|last | [1, 2]|reverse|list | 'abc'|reverse
{'a': [1, 2.5, none, true, "q\"é/<>'"]}|tojson | [1, {'a': []}]|tojson(indent=2) | 'a\u00e9\x01'|tojson | {}|tojson(indent=2) | 1.0|tojson
'42'|int + 1 | 'x'|int | '2.5'|float | 3.99|int | 5|string + '!' | 'a\nb\n\nc'|indent | 'a\nb'|indent(2, true) | ' a '|trim | 'a'|upper|lower | 'x y'|replace('x', 'z')
'a' is string | 1 is number | true is number | 1.5 is float | 1 is integer | true is boolean | {} is mapping | [] is iterable | 'a' is sequence | none is none | none is not none | missing is undefined | 4 is divisibleby 2 | 3 is odd
1 is eq 1 | 2 is gt 1 | 'a' is in ['a'] | true is true | 1 is true | none is string | missing is not defined | [] is string
[none, true, 'it\'s', "q\"", 1.5, {'k': [1]}] | 'a' 'b' | range(3)|list | range(1, 7, 2)|list | dict(a=1, b='x') | namespace(a=1).a | "\u00e9\t\\x" | 'Straße ÀÉ'|upper is string
""".strip()


def environment_cases():
    for line in EXPRESSIONS.split("\n"):
        # " | " between expressions; a filter is written without blanks.
        for expression in line.split(" | "):
            source = "{{ " + expression + " }}"
            yield {"source": source, "text": _compile_jinja_template(source).render()}


def rendered(name, source, messages, variables):
    variables = {"bos_token": "<s>", "eos_token": "</s>", **variables}
    case = {"messages": messages, "variables": variables, "text": None}
    try:
        texts, spans = render_jinja_template(conversations=[messages], chat_template=source, return_assistant_tokens_mask="endgeneration" in source, **variables)
        case["text"] = texts[0]
        if spans:
            bytes_to = lambda at: len(texts[0][:at].encode())
            case["spans"] = [[bytes_to(b), bytes_to(e)] for b, e in spans[0]]
    except Exception as error:  # refused: ours must refuse as well
        case["error"] = type(error).__name__
    return case


def built_in():
    source = (ROOT / "core/data/chat/built_in.cpp").read_text()
    return {f"builtin_{name}": text for name, text in re.findall(r'\{"(\w+)", R"\((.*?)\)"\}', source, re.S)}


def main():
    templates = {}
    for name, source in {**TEMPLATES, **built_in()}.items():
        cases = []
        for messages in CONVERSATIONS:
            for variables in ({}, {"add_generation_prompt": True}, {"tools": TOOLS, "add_generation_prompt": True, "enable_thinking": False}):
                cases.append(rendered(name, source, messages, {"add_generation_prompt": False, "tools": None, **variables}))
        templates[name] = {"source": source, "cases": cases}
    result = {"templates": templates, "expressions": list(environment_cases())}
    (HERE / "chats.json").write_text(json.dumps(result, ensure_ascii=False, indent=0) + "\n")
    good = sum(c["text"] is not None for t in templates.values() for c in t["cases"])
    print(good, "rendered of", sum(len(t["cases"]) for t in templates.values()), len(result["expressions"]), "expressions")


if __name__ == "__main__":
    main()
