import { Code, ConnectError } from "@connectrpc/connect";
import { MutationCache, QueryCache, QueryClient } from "@tanstack/react-query";
import { isSignedOut } from "./queries";

const maxRetries = 2;

/**
 * Makes the cache of what the control plane answered. onSignedOut is called when
 * an answer says that the session has ended.
 */
export function createQueryClient(onSignedOut: () => void): QueryClient {
  const report = (error: unknown, expected: unknown) => {
    if (isSignedOut(error) && expected !== true) {
      onSignedOut();
    }
  };
  return new QueryClient({
    queryCache: new QueryCache({
      onError: (error, query) => report(error, query.meta?.expectsSignedOut),
    }),
    mutationCache: new MutationCache({
      onError: (error, _input, _result, mutation) => report(error, mutation.meta?.expectsSignedOut),
    }),
    defaultOptions: {
      queries: {
        staleTime: 2_000,
        retry: (count, error) =>
          count < maxRetries && ConnectError.from(error).code === Code.Unavailable,
      },
      // A change is never repeated unasked, and its answer, which may hold a
      // secret, is forgotten with the form that asked for it.
      mutations: { retry: false, gcTime: 0 },
    },
  });
}
