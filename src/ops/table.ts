// Rows of text under titles, for a terminal. Knows no record.

/** Numbers stand to the right: the columns named in `right`. Widths are those of the longest cell. */
export function table(
  titles: readonly string[],
  rows: readonly (readonly string[])[],
  right: readonly string[] = [],
): string {
  const widths = titles.map((title, i) => Math.max(title.length, ...rows.map((row) => row[i]!.length)));
  return [titles, ...rows].map((row) => line(row, widths, (i) => right.includes(titles[i]!))).join('\n');
}

/** One row at fixed widths; longer cells push the rest. */
export function line(cells: readonly string[], widths: readonly number[], right: (i: number) => boolean = () => false) {
  return cells
    .map((cell, i) => (right(i) ? cell.padStart(widths[i]!) : cell.padEnd(widths[i]!)))
    .join('  ')
    .trimEnd();
}

/** The two largest units: "2 d 4 h", "35 min", "30 s". */
export function roughly(ms: number): string {
  const seconds = Math.round(ms / 1_000);
  const [days, hours, minutes] = [
    Math.floor(seconds / 86_400),
    Math.floor(seconds / 3_600) % 24,
    Math.floor(seconds / 60) % 60,
  ];
  if (days > 0) return `${days} d ${hours} h`;
  if (hours > 0) return `${hours} h ${minutes} min`;
  return minutes > 0 ? `${minutes} min` : `${seconds} s`;
}
