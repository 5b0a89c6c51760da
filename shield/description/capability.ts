/** The capability that describes both HTTP APIs of a Shield. */
import type { Capability } from "../capability.ts";
import type { Schema } from "../openapi/openapi_parts.ts";
import { adminOpenApi } from "./admin_api.ts";
import { clientOpenApi, DESCRIPTION_PATH, DESCRIPTION_ROUTE } from "./client_api.ts";

/** Answers with a document that is made at the first request: at the start it would take 50 ms of a core. */
function describedBy(document: () => Schema): () => Response {
  let text: string | undefined;
  const headers = { "content-type": "application/json" };
  return () => new Response(text ??= JSON.stringify(document()), { headers });
}

/** The capability, for a Shield's list. */
export const DESCRIPTION: Capability = {
  name: "description",
  title: "OpenAPI descriptions of both HTTP APIs",
  client: { described: [DESCRIPTION_ROUTE] },
  documents: (all) => ({
    admin: { [DESCRIPTION_PATH]: describedBy(() => adminOpenApi(all)) },
    client: { [DESCRIPTION_PATH]: describedBy(() => clientOpenApi(all)) },
  }),
};
