"""provisional"""


class TextStream:
    def __init__(self, tokenizer, *, stop=()):
        self.tokenizer, self.stop, self.ids, self.sent, self.stopped, self.text = tokenizer, stop, [], 0, False, ""

    def feed(self, token_ids):
        self.ids += token_ids
        self.text = self.tokenizer.decode(self.ids)
        cuts = [self.text.find(s) for s in self.stop if s in self.text]
        if cuts:
            self.stopped = True
            self.text = self.text[: min(cuts)]
        out = self.text[self.sent :]
        self.sent = len(self.text)
        return out

    def finish(self):
        return ""
