// Typed requests: paths, parameters, bodies and answers are those of the API's document.
import type { paths } from "../../api/client/openapi.js";

type Operation<P extends keyof paths, M extends keyof paths[P]> = NonNullable<paths[P][M]>;
type Parameters<O> = O extends { parameters: infer All } ? All : {};
type In<O, Where extends string> = Where extends keyof Parameters<O> ? NonNullable<Parameters<O>[Where]> : {};
type Json<T> = T extends { content: { "application/json": infer Body } } ? Body : undefined;
type Body<O> = O extends { requestBody?: infer B } ? Json<NonNullable<B>> : undefined;
type Answer<O> = O extends { responses: infer All } ? Json<All[Extract<keyof All, 200 | 201>]> : undefined;

type Options<O> = {
  path?: In<O, "path">;
  query?: In<O, "query">;
  headers?: In<O, "header">;
  body?: Body<O>;
};

/** What the server says is wrong. */
export class Problem extends Error {
  constructor(readonly status: number, readonly code: string, message: string, readonly details: Record<string, unknown>) {
    super(message);
  }
}

/** Returns the function that sends requests of the bearer of a token to a server. */
export function connect(url: string, token: string) {
  return async function call<P extends keyof paths, M extends keyof paths[P] & ("get" | "post" | "put" | "patch" | "delete")>(
    method: M,
    path: P,
    options: Options<Operation<P, M>> = {},
  ): Promise<Answer<Operation<P, M>>> {
    let target: string = path;
    for (const [name, value] of Object.entries(options.path ?? {})) {
      target = target.replace(`{${name}}`, encodeURIComponent(String(value)));
    }
    const query = new URLSearchParams();
    for (const [name, value] of Object.entries(options.query ?? {})) {
      for (const one of Array.isArray(value) ? value : [value]) query.append(name, String(one));
    }
    const response = await fetch(`${url}${target}?${query}`, {
      method: method.toUpperCase(),
      headers: {
        Authorization: `Bearer ${token}`,
        ...(options.body === undefined ? {} : { "Content-Type": "application/json" }),
        ...(options.headers as Record<string, string> | undefined),
      },
      body: options.body === undefined ? undefined : JSON.stringify(options.body),
    });
    const text = await response.text();
    const answer = text === "" ? undefined : JSON.parse(text);
    if (!response.ok) {
      const error = answer.error;
      throw new Problem(response.status, error.code, error.message, error.details);
    }
    return answer;
  };
}
