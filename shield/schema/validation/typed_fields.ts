/**
 * The data of a Protobuf message for filters: fields by their names in the schema and in JSON, and the fields of a
 * filter that the schema lacks. It decodes nothing. Pure.
 */
import type { DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { reflect } from "@bufbuild/protobuf/reflect";
import { parse } from "@bufbuild/cel";
import { nearest } from "../../../shared/config/suggest.ts";
import type { Expr } from "../../../shared/filter/syntax.ts";

/** Messages that have their own CEL values, or whose fields are in no schema. */
const VALUES = /^google\.protobuf\.(?:Any|Struct|Value|ListValue|Timestamp|Duration|\w+Value)$/;

const views = new WeakMap<DescMessage, DescMessage>();

/** The message with the fields that a filter can use. */
export function dataView(desc: DescMessage, message: Message): unknown {
  return reflect(viewOf(desc), message);
}

/** The description with each field under both of its names; the schema's name has priority. */
function viewOf(desc: DescMessage): DescMessage {
  if (VALUES.test(desc.typeName)) return desc;
  let view = views.get(desc);
  if (view === undefined) {
    const names = new Set(desc.fields.map(({ name }) => name));
    const fields = desc.fields.flatMap((field) => {
      const { jsonName } = field;
      return names.has(jsonName)
        ? [fieldView(field, field.name)]
        : [fieldView(field, field.name), fieldView(field, jsonName)];
    });
    view = Object.create(desc, { fields: { value: fields, enumerable: true } }) as DescMessage;
    views.set(desc, view);
  }
  return view;
}

function fieldView(field: DescField, name: string): DescField {
  const { message } = field;
  const own: PropertyDescriptorMap = { name: { value: name, enumerable: true } };
  // Messages may contain themselves.
  if (message !== undefined) own["message"] = { get: () => viewOf(message), enumerable: true };
  return Object.create(field, own) as DescField;
}

/** The known type of a value: a message, or the elements of a list or map; undefined: anything. */
type Known =
  | DescMessage
  | { readonly kind: "list"; readonly item: Known }
  | { readonly kind: "map"; readonly item: Known }
  | undefined;

/** The problem with the fields of `data` that a filter names, for data of that message. */
export function fieldProblem(text: string, data: DescMessage): string | undefined {
  const { expr } = parse(text);
  const finder = new Finder();
  finder.look(expr, new Map([["data", data]]));
  return finder.problem;
}

class Finder {
  problem: string | undefined;

  /** Checks a node in which these names are known. */
  look(expr: Expr | undefined, names: ReadonlyMap<string, Known>): Known {
    if (expr === undefined) return undefined;
    const { exprKind } = expr;
    switch (exprKind.case) {
      case "identExpr":
        return names.get(exprKind.value.name.replace(/^\./, ""));
      case "selectExpr":
        return this.#field(this.look(exprKind.value.operand, names), exprKind.value.field);
      case "callExpr": {
        const { target, args, function: name } = exprKind.value;
        this.look(target, names);
        const [first] = args.map((one) => this.look(one, names));
        return name === "_[_]" && first?.kind !== "message" ? first?.item : undefined;
      }
      case "listExpr":
        for (const one of exprKind.value.elements) this.look(one, names);
        return undefined;
      case "structExpr":
        for (const { value } of exprKind.value.entries) this.look(value, names);
        return undefined;
      case "comprehensionExpr": {
        const loop = exprKind.value;
        const range = this.look(loop.iterRange, names);
        this.look(loop.accuInit, names);
        const item = range?.kind === "list" && loop.iterVar2 === "" ? range.item : undefined;
        const inner = new Map<string, Known>([...names, [loop.iterVar, item]]);
        inner.set(loop.iterVar2, undefined).set(loop.accuVar, undefined);
        for (const part of [loop.loopCondition, loop.loopStep, loop.result]) this.look(part, inner);
        return undefined;
      }
      default:
        return undefined;
    }
  }

  #field(of: Known, name: string): Known {
    if (of === undefined || of.kind === "list") return undefined;
    if (of.kind === "map") return of.item;
    if (VALUES.test(of.typeName)) return undefined;
    const { fields } = viewOf(of);
    const field = fields.find((one) => one.name === name);
    if (field !== undefined) return knownOf(field);
    // One problem is enough, and looking for a name that is near takes time.
    if (this.problem !== undefined) return undefined;
    const meant = nearest(name, fields.map((one) => one.name));
    const hint = meant === undefined ? "" : `; did you mean ${JSON.stringify(meant)}?`;
    this.problem = `${of.typeName} has no field ${JSON.stringify(name)}${hint}`;
    return undefined;
  }
}

function knownOf(field: DescField): Known {
  switch (field.fieldKind) {
    case "message":
      return field.message;
    case "list":
      return { kind: "list", item: field.message };
    case "map":
      return { kind: "map", item: field.message };
    default:
      return undefined;
  }
}
