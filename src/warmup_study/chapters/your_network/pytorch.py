"""PyTorch lines to paste: the optimiser and the schedule that were tested, update for update."""

ONE_LINE = {
    "sgd": "torch.optim.SGD(model.parameters(), lr={lr})",
    "momentum": "torch.optim.SGD(model.parameters(), lr={lr}, momentum=0.9)",
    "nesterov": "torch.optim.SGD(model.parameters(), lr={lr}, momentum=0.9, nesterov=True)",
    "rmsprop": "torch.optim.RMSprop(model.parameters(), lr={lr})",
    "adam": "torch.optim.Adam(model.parameters(), lr={lr})",
    "adamw": "torch.optim.AdamW(model.parameters(), lr={lr})",
    "radam": "torch.optim.RAdam(model.parameters(), lr={lr})",
    "adagrad": "torch.optim.Adagrad(model.parameters(), lr={lr})",
    "lion": "Lion(model.parameters(), lr={lr})",
    "signsgd": "SignSGD(model.parameters(), lr={lr})",
}
"""The optimisers made in one line; the form with the learning rate inside the momentum is not in torch.optim."""
CLASSES = {
    "lion": """class Lion(torch.optim.Optimizer):  # Chen et al. 2023, which torch.optim does not have
    def __init__(self, params, lr, beta1=0.9, beta2=0.99):
        super().__init__(params, {"lr": lr, "beta1": beta1, "beta2": beta2})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for param in (each for each in group["params"] if each.grad is not None):
                average = self.state[param].setdefault("average", torch.zeros_like(param))
                param.sub_(group["lr"] * average.lerp(param.grad, 1 - group["beta1"]).sign())
                average.lerp_(param.grad, 1 - group["beta2"])
""",
    "signsgd": """class SignSGD(torch.optim.Optimizer):  # Bernstein et al. 2018, which torch.optim does not have
    def __init__(self, params, lr, momentum=0.9):
        super().__init__(params, {"lr": lr, "momentum": momentum})

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for param in (each for each in group["params"] if each.grad is not None):
                average = self.state[param].setdefault("average", torch.zeros_like(param))
                average.lerp_(param.grad, 1 - group["momentum"])
                param.sub_(group["lr"] * average.sign())
""",
}
"""What torch.optim lacks, written out."""
MUON = """linear = {{id(layer.weight) for layer in model.modules() if isinstance(layer, torch.nn.Linear)}}
matrices = [param for param in model.parameters() if id(param) in linear]
others = [param for param in model.parameters() if id(param) not in linear]
muon = torch.optim.Muon(matrices, lr={lr}, weight_decay=0.0, adjust_lr_fn="match_rms_adamw")
adam = torch.optim.AdamW(others, lr={lr}, weight_decay=0.0)
schedulers = [torch.optim.lr_scheduler.LambdaLR(optimizer, factor) for optimizer in (muon, adam)]
# in the loop, after muon.step() and adam.step():
for scheduler in schedulers:
    scheduler.step()
"""
"""Two optimisers: Muon for the weights of linear layers (an embedding's not among them), AdamW for all else."""
ONE_OPTIMIZER = """optimizer = {rule}
scheduler = torch.optim.lr_scheduler.LambdaLR(optimizer, factor)
# in the loop, after each optimizer.step():
scheduler.step()
"""
SCHEDULE = """import math
import torch

warmup, total = {length}, {updates}  # counted in optimiser updates


def factor(step):  # step 0 is the first update
    if step < warmup:
        return (step + 1) / warmup
    return (1 + math.cos(math.pi * (step - warmup) / (total - warmup))) / 2

"""


def pytorch_lines(optimizer: str, lr: float, length: int, updates: int) -> str:
    """PyTorch code of the optimiser and the schedule that were tested, with the same learning rate at every update."""
    schedule = SCHEDULE.format(length=length, updates=updates)
    if optimizer == "muon":
        return f"{schedule}\n{MUON.format(lr=f'{lr:g}')}"
    written_out = f"\n{CLASSES[optimizer]}\n" if optimizer in CLASSES else ""
    rule = ONE_LINE[optimizer].format(lr=f"{lr:g}")
    return f"{schedule}{written_out}\n{ONE_OPTIMIZER.format(rule=rule)}"
