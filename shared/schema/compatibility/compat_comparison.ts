/**
 * The state of a comparison of two schemas, for all rules: which directions count, which types belong together, and the
 * findings. The other `compat_*.ts` files have the rules.
 */
import type { CompatibilityMode } from "../../schema_id.ts";
import type {
  DescEnum,
  DescExtension,
  DescField,
  DescMessage,
  FileRegistry,
} from "@bufbuild/protobuf";
import { Edition } from "@bufbuild/protobuf/wkt";
import type { Directions, Finding, FindingRule, Severity } from "./findings.ts";
import { directionsOf, FINDINGS_MAX } from "./findings.ts";

/** Types that come with Protobuf and its tools, and disappear when nothing uses them: not compared. */
const LIBRARIES = /^(google\.protobuf|buf\.validate)(\.|$)/;

/** How one side reads a value written by the other. */
export interface Reading {
  /** False if values are refused, lost or changed. */
  readonly ok: boolean;
  /** What the reader does, if it is worth reporting, for example `cuts values to 32 bits`. */
  readonly note?: string;
}

/** The value is read as it was written. */
export const READS: Reading = { ok: true };

/** The part of a schema that a finding is about. */
export interface Place {
  readonly file: string;
  readonly message: string;
  readonly field: string;
}

/** Whether a field drops numbers without a name in its enum: in proto2 of any enum, by Java and C++. */
export function isClosedIn(field: DescField | DescExtension, { open }: DescEnum): boolean {
  const { file } = field.kind === "extension" ? field : field.parent;
  return !open || file.edition === Edition.EDITION_PROTO2;
}

/** The names of the open enums that some field reads as closed. */
function closedByFields(registry: FileRegistry): Set<string> {
  const found = new Set<string>();
  for (const type of registry) {
    const fields = type.kind === "message" ? type.fields : type.kind === "extension" ? [type] : [];
    for (const field of fields) {
      if (field.enum !== undefined && isClosedIn(field, field.enum)) found.add(field.enum.typeName);
    }
  }
  return found;
}

/** The state of one comparison, shared by all rules. */
export class Comparison {
  readonly directions: Directions;
  readonly #findings: { error: Finding[]; warning: Finding[] } = { error: [], warning: [] };
  readonly #dropped = { error: 0, warning: 0 };
  readonly #types = new Map<string, string>();
  #closed: { readonly from: Set<string>; readonly to: Set<string> } | undefined;

  constructor(
    readonly from: FileRegistry,
    readonly to: FileRegistry,
    mode: CompatibilityMode,
    readonly versions: { readonly from: string; readonly to: string },
  ) {
    this.directions = directionsOf(mode);
  }

  /** Whether some reader of that side drops numbers without a name in the enum. */
  isClosed(side: "from" | "to", { open, typeName }: DescEnum): boolean {
    this.#closed ??= { from: closedByFields(this.from), to: closedByFields(this.to) };
    return !open || this.#closed[side].has(typeName);
  }

  /** Records that a type has another name in the newer schema. */
  pair(from_name: string, to_name: string): void {
    this.#types.set(from_name, to_name);
  }

  /** The full name in the newer schema of a type of the older one. */
  nameInTo(from_name: string): string {
    return this.#types.get(from_name) ?? from_name;
  }

  /** Whether a type of the older schema and one of the newer are the same type. */
  sameType(from: DescMessage | DescEnum, to: DescMessage | DescEnum): boolean {
    return this.nameInTo(from.typeName) === to.typeName;
  }

  report(severity: Severity, rule: FindingRule, place: Place, detail: string): void {
    const kept = this.#findings[severity];
    if (kept.length >= FINDINGS_MAX) {
      this.#dropped[severity]++;
      return;
    }
    const { from: from_version, to: to_version } = this.versions;
    kept.push({ severity, rule, ...place, detail, from_version, to_version });
  }

  /**
   * Reports a change that readers handle differently. An error if a required direction fails; a warning if none does
   * and there is a note; else nothing.
   */
  reportReadings(
    rule: FindingRule,
    place: Place,
    change: string,
    backward: Reading,
    forward: Reading,
  ): boolean {
    const readings = [
      ...this.directions.backward
        ? [{ ...backward, reader: "the newer version reads older data" }]
        : [],
      ...this.directions.forward
        ? [{ ...forward, reader: "the older version reads newer data" }]
        : [],
    ];
    const wrong = readings.filter(({ ok }) => !ok);
    const noted = (wrong.length > 0 ? wrong : readings).filter(({ note }) => note !== undefined);
    if (noted.length === 0 && wrong.length === 0) return true;
    const notes = noted.map(({ reader, note }) => `${reader} and ${note}`);
    const detail = [change, ...notes].join("; ");
    this.report(wrong.length > 0 ? "error" : "warning", rule, place, detail);
    return wrong.length === 0;
  }

  /** All findings, errors first. */
  findings(): Finding[] {
    const all = [...this.#findings.error, ...this.#findings.warning];
    for (const severity of ["error", "warning"] as const) {
      const count = this.#dropped[severity];
      if (count === 0) continue;
      const detail = `${count} more of severity ${severity} are not listed`;
      const { from: from_version, to: to_version } = this.versions;
      const place = { file: "", message: "", field: "" };
      all.push({ severity, rule: "too-many-findings", ...place, detail, from_version, to_version });
    }
    return all;
  }
}

/** Reports an enum, or a reader of it, that was open and is closed, or the reverse. */
export function reportKind(
  comparison: Comparison,
  place: Place,
  was_open: boolean,
  is_open: boolean,
): void {
  if (was_open === is_open) return;
  const closed = { ok: false, note: "drops numbers that the closed enum does not name" };
  const [change, backward, forward] = is_open
    ? ["was closed, is open", READS, closed] as const
    : ["was open, is closed", closed, READS] as const;
  comparison.reportReadings("enum-kind-changed", place, change, backward, forward);
}

/** Whether a type belongs to a library that is not compared. */
export function isLibraryType(type: DescMessage | DescEnum): boolean {
  return LIBRARIES.test(type.file.proto.package);
}

/** The place of a type. */
export function typePlace(type: DescMessage | DescEnum, field: string = ""): Place {
  return { file: type.file.proto.name, message: type.typeName, field };
}

/** The place of a field. */
export function fieldPlace(field: DescField): Place {
  return typePlace(field.parent, field.name);
}
