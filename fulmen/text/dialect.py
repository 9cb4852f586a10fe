"""MiniMax-M1's dialect as a Jinja template, so that a checkpoint of ours speaks it in other people's tools.

It writes the text of `encode_conversation`. Tokens are the same where messages write out no structural token and no
line break, and there are no tools: those two are structure to a tool that renders text first and cuts it into tokens
afterwards.
"""

from fulmen.text.parse import MINIMAX_STYLE
from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import BEGIN_DOCUMENT, BEGIN_TURN, END_THINK, END_TURN, HEADERS, THINK, Tokenizer
from fulmen.text.tool_turns import (
    RESULT_END,
    RESULT_NAME,
    RESULT_TEXT,
    RESULTS_HEADER,
    TOOLS_BEGIN,
    TOOLS_END,
    TOOLS_HEADER,
)

_END = END_TURN + "\n"
_CALLS_OPEN, _CALLS_CLOSE = MINIMAX_STYLE.calls_open + "\n", MINIMAX_STYLE.calls_close
_SYSTEM = (
    "{% set ns = namespace(system='', has_system=false, last=0, name='') %}"
    "{% for message in messages %}"
    "{% if message['role'] == 'system' %}"
    "{% set ns.system = ns.system + message['content'] %}{% set ns.has_system = true %}"
    "{% elif message['role'] == 'user' %}{% set ns.last = loop.index0 %}"
    "{% endif %}{% endfor %}"
    f"{{% if ns.has_system %}}{{{{ {BEGIN_TURN + HEADERS['system']!r} + ns.system + {_END!r} }}}}{{% endif %}}"
)
_TOOLS = (
    f"{{% if tools %}}{{{{ {BEGIN_TURN + TOOLS_HEADER + TOOLS_BEGIN!r} }}}}"
    "{% for tool in tools %}{{ (tool['function'] if tool['function'] else tool) | tojson + '\\n' }}{% endfor %}"
    f"{{{{ {TOOLS_END + _END!r} }}}}{{% endif %}}"
)
_ASSISTANT = (
    f"{{{{ {BEGIN_TURN + HEADERS['assistant']!r} }}}}"
    "{% if message['reasoning_content'] and (keep_thinking is not false or loop.index0 >= ns.last) %}"
    f"{{{{ {THINK!r} + message['reasoning_content'] + {END_THINK!r} }}}}"
    "{% endif %}"
    "{{ message['content'] or '' }}"
    "{% if message['tool_calls'] %}"
    f"{{{{ ('\\n' if message['content'] else '') + {_CALLS_OPEN!r} }}}}"
    "{% for call in message['tool_calls'] %}{% set function = call['function'] or call %}"
    """{{ '{"name": ' + function['name'] | tojson + ', "arguments": ' }}"""
    "{% set arguments = function['arguments'] or {} %}"
    "{{ (arguments if arguments is string else arguments | tojson) + '}\\n' }}"
    "{% endfor %}"
    f"{{{{ {_CALLS_CLOSE!r} }}}}"
    "{% endif %}"
    f"{{{{ {_END!r} }}}}"
)
_RESULT = (
    "{% if not loop.previtem or loop.previtem['role'] != 'tool' %}"
    f"{{{{ {BEGIN_TURN + RESULTS_HEADER!r} }}}}{{% endif %}}"
    "{% set ns.name = message['name'] or '' %}"
    "{% if not ns.name and message['tool_call_id'] %}"
    "{% for earlier in messages %}{% for call in earlier['tool_calls'] or [] %}"
    "{% if call['id'] == message['tool_call_id'] %}{% set ns.name = call['function']['name'] %}{% endif %}"
    "{% endfor %}{% endfor %}{% endif %}"
    f"{{{{ {RESULT_NAME!r} + ns.name + {RESULT_TEXT!r} + message['content'] + {RESULT_END!r} }}}}"
    f"{{% if loop.last or loop.nextitem['role'] != 'tool' %}}{{{{ {_END!r} }}}}{{% endif %}}"
)
MINIMAX_TEMPLATE = (
    f"{{{{ {BEGIN_DOCUMENT!r} }}}}{_SYSTEM}{_TOOLS}"
    "{% for message in messages %}"
    "{% if message['role'] == 'user' %}"
    f"{{{{ {BEGIN_TURN + HEADERS['user']!r} + message['content'] + {_END!r} }}}}"
    f"{{% elif message['role'] == 'assistant' %}}{_ASSISTANT}"
    f"{{% elif message['role'] == 'tool' %}}{_RESULT}"
    "{% endif %}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ {BEGIN_TURN + HEADERS['assistant']!r} }}}}{{% endif %}}"
)


def template_of(tokenizer: Tokenizer) -> ChatTemplate:
    """Returns the template a tokenizer came with, or MiniMax-M1's."""
    if tokenizer.template is not None:
        return tokenizer.template
    return ChatTemplate(source=MINIMAX_TEMPLATE, tokens={"bos_token": BEGIN_TURN, "eos_token": END_TURN})
