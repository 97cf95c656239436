"""What a comparison found: as a table on the terminal and in a page, and as a plot."""

import html
import statistics

BAR_HEIGHT, GAP, LEFT, WIDTH, RIGHT = 18, 8, 170, 430, 90
COLORS = {"fettle": "#2a7f4f", "limit": "#999999", "sqlite": "#999999"}
OTHERS = "#5b7db1"


class Row:
    """What one of those who take part was measured at, round by round."""

    def __init__(self, name, label, values):
        self.name, self.label, self.values = name, label, values

    def spread(self):
        return min(self.values), statistics.median(self.values), max(self.values)


class Table:
    """Rows of the same work. Ours is the first and is compared with the others; or all are ours,
    and each has a bound of its own."""

    def __init__(self, title, unit, digits, rows, goals=(), compares=True):
        self.title, self.unit, self.digits, self.rows = title, unit, digits, rows
        self.goals = dict(goals)  # by a row's name: our ratio to it, or what it takes
        self.compares = compares
        self.more_is_better = unit.endswith("/s")

    def ratio(self, row):
        """Ours to theirs, of each round: a machine that slows down slows down both."""
        return statistics.median(a / b for a, b in zip(self.rows[0].values, row.values))

    def verdict(self, row):
        """The goal of a row, and whether it is met."""
        bound = self.goals.get(row.name)
        if bound is None:
            return "", True
        value = self.ratio(row) if self.compares else statistics.median(row.values)
        met = value >= bound if self.more_is_better else value <= bound
        sign = "at least" if self.more_is_better else "at most"
        return f"{sign} {bound:g}: {'met' if met else 'MISSED'}", met

    def is_met(self):
        return all(self.verdict(row)[1] for row in self.rows)

    def cells(self):
        ratio = "ratio" if self.compares else ""
        yield [self.title, "least", "median", "most", "", ratio, "goal"]
        for number, row in enumerate(self.rows):
            spread = [f"{value:,.{self.digits}f}" for value in row.spread()]
            ratio = f"{self.ratio(row):.2f}" if number and self.compares else ""
            yield [row.label, *spread, self.unit, ratio, self.verdict(row)[0]]

    def print(self):
        print()
        for cells in self.cells():
            name, least, median, most, unit, ratio, goal = cells
            line = f"{name:44}{least:>10}{median:>10}{most:>10} {unit:7}{ratio:>7}  {goal}"
            print(line.rstrip(), flush=True)

    def page(self):
        rows = list(self.cells())
        rows.insert(1, ["---", "--:", "--:", "--:", "---", "--:", "---"])
        return "\n".join("| " + " | ".join(cells) + " |" for cells in rows) + "\n"


def bar(row, top, scale, digits):
    """A bar as long as the median, a line from the least to the most, and the number."""
    least, median, most = row.spread()
    color, middle = COLORS.get(row.name, OTHERS), top + BAR_HEIGHT / 2
    ends = [LEFT + value * scale for value in (least, median, most)]
    yield f'<text x="{LEFT - 8}" y="{middle + 4}" text-anchor="end">{html.escape(row.label)}</text>'
    yield (
        f'<rect x="{LEFT}" y="{top}" width="{ends[1] - LEFT:.1f}" height="{BAR_HEIGHT}"'
        f' fill="{color}"/>'
    )
    yield (
        f'<line x1="{ends[0]:.1f}" x2="{ends[2]:.1f}" y1="{middle}" y2="{middle}"'
        ' stroke="black"/>'
    )
    yield f'<text x="{ends[2] + 6:.1f}" y="{middle + 4}">{median:,.{digits}f}</text>'


def plot(tables):
    """All tables below each other, as SVG; each has a scale of its own."""
    drawn, top = [], 10
    for table in tables:
        unit = f"{table.title} ({table.unit})"
        drawn.append(f'<text x="10" y="{top + 14}" font-weight="bold">{html.escape(unit)}</text>')
        top += 26
        most = max(max(row.values) for row in table.rows)
        for row in table.rows:
            drawn += bar(row, top, WIDTH / most, table.digits)
            top += BAR_HEIGHT + GAP
        top += GAP * 2
    width = LEFT + WIDTH + RIGHT
    head = (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{top}"'
        f' viewBox="0 0 {width} {top}" font-family="sans-serif" font-size="12">\n'
        f'<rect width="{width}" height="{top}" fill="white"/>\n'
    )
    return head + "\n".join(drawn) + "\n</svg>\n"
