/**
 * Several pages of metrics in the Prometheus text format made into one: each sample gets the label
 * `process`, and the samples of one metric stand together, as the format asks. Nothing is added up:
 * a sum over processes would fall when one of them restarts, and Prometheus adds up itself.
 */

/** The page of one process. */
export interface Page {
  /** The value of the label `process`. */
  readonly process: string;
  readonly text: string;
}

interface Family {
  readonly comments: string[];
  readonly samples: string[];
}

/** Merges the pages into one; each metric comes in the order of the first page that has it. */
export function mergePages(pages: readonly Page[]): string {
  const families = new Map<string, Family>();
  for (const { process, text } of pages) {
    let family: Family | undefined;
    let is_first = false;
    for (const line of text.split("\n")) {
      if (line === "") continue;
      const name = /^# (?:HELP|TYPE) (\S+)/.exec(line)?.[1];
      if (name !== undefined && line.startsWith("# HELP")) {
        is_first = !families.has(name);
        family = families.get(name) ?? { comments: [], samples: [] };
        families.set(name, family);
      }
      if (family === undefined) continue;
      if (!line.startsWith("#")) family.samples.push(withProcess(line, process));
      else if (is_first) family.comments.push(line);
    }
  }
  return [...families.values()].map(({ comments, samples }) =>
    `${[...comments, ...samples].join("\n")}\n`
  ).join("\n");
}

/**
 * Adds the label to a sample. A name has neither a brace nor a space, so the first of these ends it.
 */
function withProcess(sample: string, process: string): string {
  const end = sample.search(/[{ ]/);
  if (end < 0) return sample;
  const label = `process="${process}"`;
  const name = sample.slice(0, end);
  if (sample[end] === " ") return `${name}{${label}}${sample.slice(end)}`;
  const rest = sample.slice(end + 1);
  return `${name}{${label}${rest.startsWith("}") ? "" : ","}${rest}`;
}
