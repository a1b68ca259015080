"""A rule in words: made from the conditions that the test evaluates, so that the two cannot drift apart."""

import math
import re
from collections.abc import Callable, Sequence

from warmup_study.claims.conditions import AllOf, AnyOf, Bound, ByHand, Condition, Opposed, Part, Parts, Rule
from warmup_study.statistics.bootstrap import LEVEL

Units = Callable[[str], str]  # the unit of an effect, by its name
CI = f"{100 * LEVEL:g} % CI"
JOINED = {"all": AllOf, "any": AnyOf}


def in_words(rule: Rule, units: Units) -> str:
    """The rule as one sentence, or two."""
    if isinstance(rule, ByHand):
        return rule.by_hand
    if isinstance(rule, Parts):
        return _of_parts(rule, units)
    mixed = f"; mixed if {_words(rule.mixed, units)}" if rule.mixed else ""
    return _sentence(_words(rule.supported, units), _words(rule.contradicted, units), mixed)


def _of_parts(rule: Parts, units: Units) -> str:
    holds = _words(_join(rule.supported, [part.holds for part in rule.parts]), units)
    fails = _words(_join(rule.contradicted, [part.fails for part in rule.parts]), units)
    if len(rule.parts) == 1 and isinstance(rule.parts[0].holds, Bound):
        fails = fails.replace(_subjects([rule.parts[0].holds]), "it")
    elsewhere = " A part that has not been run has no say." if any(part.notebook for part in rule.parts) else ""
    return _sentence(holds, fails, "; mixed if one part holds and another fails" * _several(rule.parts)) + elsewhere


def _sentence(supported: str, contradicted: str, mixed: str) -> str:
    first, of, rest = f"Supported if {supported}; contradicted if {contradicted}{mixed}; else inconclusive.".partition(
        " of "
    )
    return first + of + rest.replace(f"the {CI} of", "that of").replace(f"the {CI}s of", "those of")


def _several(parts: Sequence[Part]) -> bool:
    return len(parts) > 1 or (isinstance(parts[0].holds, Bound) and parts[0].holds.each is not None)


def _join(how: str, conditions: Sequence[Condition]) -> Condition:
    return JOINED[how].model_construct(**{how: tuple(conditions)})


def _words(condition: Condition, units: Units) -> str:
    match condition:
        case AllOf():
            return _together(_flat(condition), units)
        case AnyOf():
            clauses = [_words(child, units) for child in condition.any]
            return (", or " if any(" and " in clause for clause in clauses) else " or ").join(clauses)
        case Opposed():
            value = _number(condition.around)
            return (
                f"the {CI} of one of {_listed(condition.opposed)} lies above {value} and that of another below {value}"
            )
    return _together([condition], units)


def _flat(condition: Condition) -> list[Condition]:
    if isinstance(condition, AllOf):
        return [leaf for child in condition.all for leaf in _flat(child)]
    return [condition]


def _together(conditions: Sequence[Condition], units: Units) -> str:
    """Conditions that all hold: what is said of one effect, or alike of several, in one clause."""
    groups: list[list[Bound]] = []
    clauses: list[str] = []
    for condition in conditions:
        if not isinstance(condition, Bound):
            clauses.append(_words(condition, units))
        elif groups and _alike(groups[-1], condition, units):
            groups[-1].append(condition)
        else:
            groups.append([condition])
    return _listed([*(_clause(group, units) for group in groups), *clauses])


def _alike(group: Sequence[Bound], other: Bound, units: Units) -> bool:
    same_effect = all(bound.subject == other.subject for bound in group)
    return same_effect or _verb(group[-1], units, True) == _verb(other, units, True)


def _clause(group: Sequence[Bound], units: Units) -> str:
    plural = len(_names(group)) > 1
    verbs = dict.fromkeys(_verb(bound, units, plural) for bound in group)
    return f"{_subjects(group)} {' and '.join(verbs)}"


def _names(group: Sequence[Bound]) -> list[str]:
    subjects = (bound.subject for bound in group)
    return list(dict.fromkeys(n for subject in subjects for n in ((subject,) if isinstance(subject, str) else subject)))


def _subjects(group: Sequence[Bound]) -> str:
    names = [_with_article(name) for name in _names(group)]
    if group[0].test == "equals":
        return _listed(names)
    return f"the {CI}{'s' if len(names) > 1 else ''} of {_listed(names)}"


def _with_article(name: str) -> str:
    if "*" in name:
        return f"every {name.replace('*', '…')}"
    return name if re.match(r"[A-Z]\w*'s ", name) else f"the {name}"


def _listed(items: Sequence[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]]) if len(items) > 1 else items[0]


def _verb(bound: Bound, units: Units, plural: bool) -> str:
    unit, ending = units(_names([bound])[0]), "" if plural else "s"
    if bound.test in ("above", "below"):
        return f"lie{ending} {bound.test} {_amount(bound.bound, unit)}"
    if bound.test in ("contains", "equals"):
        return f"contain{ending} {_number(bound.bound)}" if bound.test == "contains" else f"is exactly {bound.bound:g}"
    return f"lie{ending} {bound.test} {_range(bound.around, bound.bound, unit)}"


def _range(around: float, margin: float, unit: str) -> str:
    low, high = around - margin, around + margin
    if around:
        return f"{_number(low)} to {_number(high)}"
    span = f"{_relative(low, unit)} to {_relative(high, unit).removeprefix('a factor of ')}"
    return f"±{_number(margin)}" + (f" ({span})" if _relative(high, unit) else "")


def _amount(value: float, unit: str) -> str:
    return f"{_number(value)} ({_relative(value, unit)})" if value and _relative(value, unit) else _number(value)


def _relative(value: float, unit: str) -> str:
    """The value in percent or as a factor, where its unit allows."""
    if unit.startswith("share"):
        return _number(100 * value) + " %"
    if "log ratio" not in unit and unit != "doublings":
        return ""
    logarithm = value * math.log(2) if unit == "doublings" else value
    if abs(logarithm) < math.log(2) - 1e-9:
        return _number(100 * math.expm1(logarithm)) + " %"
    return f"a factor of {_number(math.exp(logarithm))}"


def _number(value: float) -> str:
    return f"{value:.3g}".replace("-", "−")
