/** The OpenAPI description that a listener serves: whether it is valid, and whether answers and bodies fit it. */
import assert from "node:assert/strict";
import { Validator } from "@seriousme/openapi-schema-validator";
import { Ajv2020 } from "ajv/dist/2020.js";

type Contents = Readonly<Record<string, { readonly schema: object }>>;

/** An operation of the description. */
export interface Operation {
  readonly operationId: string;
  readonly description?: string;
  readonly "x-arqon-scope"?: string;
  readonly parameters?: readonly {
    readonly name: string;
    readonly in: "path" | "query";
    readonly required: boolean;
  }[];
  readonly requestBody?: { readonly content: Contents };
  readonly responses: Readonly<Record<string, { readonly content?: Contents }>>;
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>;
  readonly components: { readonly schemas: Readonly<Record<string, object>> };
}

/** Content types of endless answers. */
const ENDLESS = ["text/event-stream", "application/x-ndjson"];

/** The description at this address, which must be valid, name each operation once, and each parameter of a path. */
export async function describedBy(url: string) {
  const response = await fetch(`${url}/v1/openapi.json`);
  assert.equal(response.status, 200, "it needs no token");
  const text = await response.text();
  assert.deepEqual(await new Validator().validate(JSON.parse(text)), { valid: true });
  // As the references write them.
  const named = text.replaceAll("#/components/schemas/", "api#/$defs/");
  const { paths, components }: Document = JSON.parse(named);
  const operations = Object.entries(paths).flatMap(([path, methods]) =>
    Object.entries(methods).map(([method, about]) => (
      { ...about, path, method: method.toUpperCase(), route: `${method.toUpperCase()} ${path}` }
    ))
  );
  assert.equal(new Set(operations.map((one) => one.operationId)).size, operations.length);
  for (const { path, parameters = [] } of operations) {
    const names = [...path.matchAll(/\{([^}]+)\}/g)].map(([, name]) => name);
    const described = parameters.filter((one) => one.in === "path");
    assert.deepEqual(described.map(({ name }) => name), names, path);
  }
  const ajv = new Ajv2020({ strict: false, validateFormats: false });
  ajv.addSchema({ $id: "api", $defs: components.schemas });
  const fits = (schema: object, value: unknown, what: string) => {
    const isRight = ajv.compile({ ...schema, $defs: {} });
    assert.ok(isRight(value), `${what}: ${JSON.stringify(isRight.errors)}`);
  };
  return {
    operations,
    /** Fails unless the value has that form. */
    fits,
    /** Fails unless the answer is one that the operation describes. */
    async conforms({ operationId, responses }: Operation, answer: Response): Promise<void> {
      const type = (answer.headers.get("content-type") ?? "").split(";")[0]!;
      const is_endless = ENDLESS.includes(type);
      const body = is_endless ? "" : await answer.text();
      if (is_endless) await answer.body?.cancel();
      const what = `${operationId}: ${answer.status} ${type} ${body.slice(0, 200)}`;
      const described = responses[answer.status];
      assert.ok(described !== undefined, `${what} is not described`);
      if (described.content === undefined) return assert.equal(body, "", what);
      const content = described.content[type];
      assert.ok(content !== undefined, what);
      if (!is_endless && type.endsWith("json")) fits(content.schema, JSON.parse(body), what);
    },
  };
}
