// What an expression of Prometheus' language names, and what a page of metrics has, for asking whether the one is in the other.
// Reads as much of the language as rules and dashboards use.

/** One metric in an expression, with the labels that it is selected by. */
export interface Selector {
  readonly metric: string;
  readonly matchers: readonly Matcher[];
}

export interface Matcher {
  readonly label: string;
  readonly operator: string;
  readonly value: string;
}

const KEYWORDS = new Set(['and', 'or', 'unless', 'on', 'ignoring', 'by', 'without', 'bool', 'offset', 'inf', 'nan']);
const GROUPING = /\b(?:by|without|on|ignoring)\s*\(([^)]*)\)/g;
const NAME = /[a-zA-Z_:][\w:]*/.source;

/** All metrics that it names. */
export function selectorsIn(expression: string): Selector[] {
  const texts: string[] = [];
  // In the place of what is in braces stands its number, so that no name in it is taken for a metric.
  const bare = expression
    .replace(/\{((?:[^{}"]|"[^"]*")*)\}/g, (_, inside: string) => `{${texts.push(inside) - 1}}`)
    .replace(GROUPING, ' ')
    .replace(/\[[^\]]*\]/g, ' ');
  const names = [...bare.matchAll(new RegExp(`(?<![\\w.])(${NAME})\\s*(\\(|\\{(\\d+)\\})?`, 'g'))];
  return names
    .filter(([, name, next]) => next !== '(' && !KEYWORDS.has(name!.toLowerCase()))
    .map(([, metric, , at]) => ({ metric: metric!, matchers: at === undefined ? [] : matchersIn(texts[Number(at)]!) }));
}

/** The labels that it groups or joins by. */
export function groupingsIn(expression: string): string[] {
  return [...expression.matchAll(GROUPING)].flatMap(([, labels]) => labels!.match(/\w+/g) ?? []);
}

function matchersIn(text: string): Matcher[] {
  const found = text.matchAll(/(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"/g);
  return [...found].map(([, label, operator, value]) => ({ label: label!, operator: operator!, value: value! }));
}

/** By the name of each series, the values that each of its labels has. */
export type Series = ReadonlyMap<string, ReadonlyMap<string, ReadonlySet<string>>>;

/** Of one or several answers of /metrics. */
export function seriesOf(...pages: readonly string[]): Series {
  const series = new Map<string, Map<string, Set<string>>>();
  for (const line of pages.join('\n').split('\n')) {
    const [, name, labels = ''] = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? \S+$/.exec(line) ?? [];
    if (name === undefined) continue;
    const known = series.get(name) ?? new Map<string, Set<string>>();
    series.set(name, known);
    for (const { label, value } of matchersIn(labels)) known.set(label, (known.get(label) ?? new Set()).add(value));
  }
  return series;
}

/** The value of one series as the page spells it, or undefined. */
export function valueIn(page: string, series: string): number | undefined {
  const line = page.split('\n').find((one) => one.startsWith(`${series} `));
  return line === undefined ? undefined : Number(line.slice(series.length + 1));
}
