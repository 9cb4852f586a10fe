"""MiniMax-M1's dialect as a Jinja template, so that a checkpoint of ours speaks it in other people's tools.

Tokens equal those of `encode_conversation` where messages write out no structural token and no line break: those two
are structure to a tool that renders text first and cuts it into tokens afterwards.
"""

from fulmen.text.template import ChatTemplate
from fulmen.text.tokenizer import BEGIN_DOCUMENT, BEGIN_TURN, END_THINK, END_TURN, HEADERS, THINK, Tokenizer

MINIMAX_TEMPLATE = (
    f"{{% set headers = {HEADERS!r} %}}{{{{ {BEGIN_DOCUMENT!r} }}}}"
    "{% for message in messages %}"
    f"{{{{ {BEGIN_TURN!r} + headers[message['role']] }}}}"
    "{% if message['role'] == 'assistant' and message['reasoning_content'] %}"
    f"{{{{ {THINK!r} + message['reasoning_content'] + {END_THINK!r} }}}}"
    "{% endif %}"
    f"{{{{ message['content'] + {(END_TURN + chr(10))!r} }}}}"
    "{% endfor %}"
    f"{{% if add_generation_prompt %}}{{{{ {(BEGIN_TURN + HEADERS['assistant'])!r} }}}}{{% endif %}}"
)


def template_of(tokenizer: Tokenizer) -> ChatTemplate:
    """Returns the template a tokenizer came with, or MiniMax-M1's."""
    if tokenizer.template is not None:
        return tokenizer.template
    return ChatTemplate(source=MINIMAX_TEMPLATE, tokens={"bos_token": BEGIN_TURN, "eos_token": END_TURN})
