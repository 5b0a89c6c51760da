/**
 * The result of a compatibility check: modes, findings and their text. Plain data for problem bodies, the command line
 * and logs; `compat*.ts` has the rules.
 */
import type { CompatibilityMode } from "../../schema_id.ts";

/** Whether a mode compares with every earlier version. */
export function isTransitive(mode: CompatibilityMode): boolean {
  return mode.endsWith("_TRANSITIVE");
}

/** The directions of data between the two versions. */
export interface Directions {
  readonly backward: boolean;
  /** The old version reads what the new one writes. */
  readonly forward: boolean;
}

/** The directions that a mode requires; neither for NONE. */
export function directionsOf(mode: CompatibilityMode): Directions {
  const full = mode.startsWith("FULL");
  return {
    backward: full || mode.startsWith("BACKWARD"),
    forward: full || mode.startsWith("FORWARD"),
  };
}

/** An error refuses the version; a warning does not. */
export type Severity = "error" | "warning";

/** The rules by their names in findings; docs/compatibility.md#all-rules explains each. */
export type FindingRule =
  | "package-changed"
  | "syntax-changed"
  | "message-removed"
  | "message-renamed"
  | "message-set-changed"
  | "mapped-message-missing"
  | "field-removed"
  | "field-renamed"
  | "field-number-changed"
  | "field-number-reused"
  | "field-type-changed"
  | "field-cardinality-changed"
  | "field-presence-changed"
  | "field-default-changed"
  | "json-name-changed"
  | "json-type-changed"
  | "utf8-check-changed"
  | "required-field-added"
  | "required-field-removed"
  | "required-changed"
  | "oneof-changed"
  | "oneof-renamed"
  | "oneof-member-removed"
  | "reserved-number-reused"
  | "reserved-name-reused"
  | "reservation-removed"
  | "extension-range-removed"
  | "extension-range-reused"
  | "extension-removed"
  | "enum-kind-changed"
  | "enum-default-changed"
  | "enum-value-added"
  | "enum-value-removed"
  | "enum-value-renamed"
  | "enum-value-renumbered"
  | "enum-value-reused"
  | "enum-alias-removed"
  | "validation-rules-changed"
  | "too-many-findings";

/** One difference between two versions that matters. */
export interface Finding {
  readonly severity: Severity;
  readonly rule: FindingRule;
  /** File of the newer version, or of the older one if the newer has none. */
  readonly file: string;
  /** Full name of the message or enum; empty if it is about the file. */
  readonly message: string;
  /** Name of the field, oneof or enum value (in the newer version if it exists there); else empty. */
  readonly field: string;
  /** The old state, the new state, and the consequence. */
  readonly detail: string;
  readonly from_version: string;
  /** The later of the two versions, the candidate in a check of a history. */
  readonly to_version: string;
}

/** The findings that refuse a version. */
export function errorsOf(findings: readonly Finding[]): Finding[] {
  return findings.filter(({ severity }) => severity === "error");
}

/** Sorts findings: errors first, then by file, message and field; otherwise stable. */
export function sortFindings(findings: readonly Finding[]): Finding[] {
  const key = ({ severity, file, message, field }: Finding) =>
    [severity, file, message, field].join("\0");
  const keyed = findings.map((finding) => ({ finding, key: key(finding) }));
  keyed.sort((a, b) => a.key < b.key ? -1 : a.key > b.key ? 1 : 0);
  return keyed.map(({ finding }) => finding);
}

/** Findings kept per severity, so that warnings never displace an error. */
export const FINDINGS_MAX = 500;

/** Collects the findings of several comparisons of one candidate, each once: with the version that came first. */
export class FindingCollector {
  readonly #found = new Map<string, Finding>();
  readonly #count = { error: 0, warning: 0 };

  /** Adds new findings, up to the limit of each severity. */
  add(findings: readonly Finding[]): void {
    for (const finding of findings) {
      const { from_version: _from, to_version: _to, ...same } = finding;
      const key = JSON.stringify(same);
      // One more than the limit: the finding that says how many are not listed.
      if (this.#found.has(key) || this.#count[finding.severity] > FINDINGS_MAX) continue;
      this.#count[finding.severity]++;
      this.#found.set(key, finding);
    }
  }

  /** All kept findings, errors first. */
  sorted(): Finding[] {
    return sortFindings([...this.#found.values()]);
  }
}

/** A finding on one line: `error field-type-changed: a.proto: m.M.a: … (version 1 → version 2)`. */
export function formatFinding(finding: Finding): string {
  const { severity, rule, file, message, field, detail, from_version, to_version } = finding;
  const place = [message, field].filter((part) => part !== "").join(".");
  const where = place === "" ? file : `${file}: ${place}`;
  return `${severity} ${rule}: ${where}: ${detail} (${from_version} → ${to_version})`;
}
