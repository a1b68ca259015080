"""A rule in words: made from the conditions that the test evaluates, so that the two cannot drift apart."""

import math
import re
from collections.abc import Callable, Sequence

from warmup_study.claims.conditions import Condition, Rule
from warmup_study.statistics.bootstrap import LEVEL

Units = Callable[[str], str]  # the unit of an effect, by its name
CI = f"{100 * LEVEL:g} % CI"


def in_words(rule: Rule, units: Units) -> str:
    """The rule as one sentence, or two."""
    if rule.by_hand:
        return rule.by_hand
    holds, fails = (
        condition
        if isinstance(condition, Condition)
        else _joined(condition, [getattr(part, side) for part in rule.parts])
        for condition, side in ((rule.supported, "holds"), (rule.contradicted, "fails"))
    )
    supported, contradicted = _words(holds, units), _words(fails, units)
    if len(rule.parts) == 1 and holds.leaves()[0].subjects == fails.leaves()[0].subjects:
        contradicted = contradicted.replace(_subjects(holds.leaves()[:1]), "it", 1)
    mixed = _words(rule.mixed, units) if rule.mixed else "one part holds and another fails" * _several(rule)
    everywhere = "in every regime " * rule.in_every_regime
    sentence = f"Supported if {everywhere}{supported}; contradicted if {contradicted}"
    first, of, rest = f"{sentence}{f'; {rule.apart} if {mixed}' * bool(mixed)}; else inconclusive.".partition(" of ")
    return first + of + rest.replace(f"the {CI} of", "that of").replace(f"the {CI}s of", "those of")


def _joined(how: str, conditions: Sequence[Condition]) -> Condition:
    return conditions[0] if len(conditions) == 1 else Condition.model_validate({how: conditions})


def _several(rule: Rule) -> bool:
    return len(rule.parts) > 1 or any(part.holds.each for part in rule.parts)


def _words(condition: Condition, units: Units) -> str:
    if condition.any:
        clauses = [_words(child, units) for child in condition.any]
        return (", or " if any(" and " in clause for clause in clauses) else " or ").join(clauses)
    if any(child.any for child in condition.all):
        return ", and ".join(_words(child, units) for child in condition.all)
    return _together(_flat(condition), units)


def _flat(condition: Condition) -> list[Condition]:
    return [leaf for child in condition.all for leaf in _flat(child)] if condition.all else [condition]


def _together(conditions: Sequence[Condition], units: Units) -> str:
    """Conditions that all hold: what is said of one effect, or alike of several, in one clause."""
    groups: list[list[Condition]] = []
    for condition in conditions:
        if groups and condition.test and _alike(groups[-1][-1], condition, units):
            groups[-1].append(condition)
        else:
            groups.append([condition])
    return listed([_clause(group, units) if group[0].test else _words(group[0], units) for group in groups])


def _alike(one: Condition, other: Condition, units: Units) -> bool:
    return not (one.some or other.some) and (
        one.subjects == other.subjects or _verb(one, units, True) == _verb(other, units, True)
    )


def _clause(group: Sequence[Condition], units: Units) -> str:
    if group[0].some:
        return f"the {CI} of at least one {_one_of(_names(group))} {_verb(group[0], units, False)}"
    plural = len(_names(group)) > 1
    return f"{_subjects(group)} {' and '.join(dict.fromkeys(_verb(leaf, units, plural) for leaf in group))}"


def _names(group: Sequence[Condition]) -> list[str]:
    return list(dict.fromkeys(name for leaf in group for name in leaf.subjects))


def _subjects(group: Sequence[Condition]) -> str:
    names = [_with_article(name) for name in _names(group)]
    return listed(names) if group[0].test == "equals" else f"the {CI}{'s' * (len(names) > 1)} of {listed(names)}"


def _one_of(names: Sequence[str]) -> str:
    return names[0].replace("*", "…") if len(names) == 1 else f"of {listed(list(map(_with_article, names)))}"


def _with_article(name: str) -> str:
    if "*" in name:
        return f"every {name.replace('*', '…')}"
    return name if re.match(r"\w*[A-Z]\w*'s ", name) else f"the {name}"


def listed(items: Sequence[str]) -> str:
    """Names one after the other: "one, two and three"."""
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def _verb(leaf: Condition, units: Units, plural: bool) -> str:
    unit, ending = units(leaf.subjects[0]), "" if plural else "s"
    match leaf.test:
        case "equals":
            return f"{'are' if plural else 'is'} exactly {_number(leaf.bound)}"
        case "above" | "below":
            return f"lie{ending} {leaf.test} {_number(leaf.bound)}{_relative(leaf.bound, unit)}"
    return f"lie{ending} {leaf.test} {_range(leaf.around, leaf.bound, unit)}"


def _range(around: float, margin: float, unit: str) -> str:
    low, high = around - margin, around + margin
    if around:
        return f"{_number(low)} to {_number(high)}"
    span = f"{_relative(low, unit)[:-1]} to {_relative(high, unit).removeprefix(' (').removeprefix('a factor of ')}"
    return f"±{_number(margin)}" + span * bool(_relative(high, unit))


def _relative(value: float, unit: str) -> str:
    """The value in percent or as a factor, in brackets, where its unit allows."""
    if unit.startswith("share") and value:
        return f" ({_number(100 * value)} %)"
    if not value or ("log ratio" not in unit and unit != "doublings"):
        return ""
    logarithm = value * math.log(2) if unit == "doublings" else value
    if abs(logarithm) < math.log(2) - 1e-9:
        return f" ({_number(100 * math.expm1(logarithm))} %)"
    return f" (a factor of {_number(math.exp(logarithm))})"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
