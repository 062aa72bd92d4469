import type { DescMessage, DescMethodUnary, MessageShape } from "@bufbuild/protobuf";
import { useMutation } from "@connectrpc/connect-query";
import { notifications } from "@mantine/notifications";
import { useQueryClient } from "@tanstack/react-query";

interface Options<O extends DescMessage> {
  /** What to tell the person once it is done. */
  done?: (answer: MessageShape<O>) => string;
  onSuccess?: (answer: MessageShape<O>) => void;
  /**
   * Signing in and out: "unauthenticated" means a wrong password, not an ended
   * session, and what is cached is another person's. onSuccess clears it.
   */
  changesSession?: boolean;
}

/**
 * The one way to change something. After a change every answer in the cache is
 * asked for again, for one change shows on many pages. Errors are for the caller
 * to show, where the person is looking.
 */
export function useApiMutation<I extends DescMessage, O extends DescMessage>(
  method: DescMethodUnary<I, O>,
  { done, onSuccess, changesSession = false }: Options<O> = {},
) {
  const queryClient = useQueryClient();
  return useMutation(method, {
    meta: { expectsSignedOut: changesSession },
    onSuccess: (answer) => {
      if (!changesSession) {
        void queryClient.invalidateQueries();
      }
      if (done !== undefined) {
        notifications.show({ message: done(answer) });
      }
      onSuccess?.(answer);
    },
  });
}
