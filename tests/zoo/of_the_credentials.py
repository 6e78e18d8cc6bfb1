"""Faults in finding out who calls: strangers let in, names believed, keys that outlive their end."""

from __future__ import annotations

from zoo.animal import Animal, Plant

_AUTHENTICATING = "ledger_server/rpc/authenticating.py"
_CERTIFICATES = "ledger_server/rpc/client_certificates.py"
_CLIENT = "ledger_client/credentials.py"
_CONFIG = "ledger_server/config.py"
_KEY_SETS = "ledger_server/rpc/key_sets.py"
_MIGRATION = "ledger_server/store/migrations/0005_keys.sql"
_SERVED = "ledger_server/rpc/server_certificate.py"
_TOKENS = "ledger_server/rpc/tokens.py"
_OF_CERTIFICATES = "tests/rpc/test_authentication_certificates.py::"
_OF_KEYS = "tests/rpc/test_authentication_keys.py::"
_OF_SETS = "tests/rpc/test_key_set_from_a_url.py::"
_OF_STORED_KEYS = "tests/store/test_api_keys.py::"
_OF_TOKENS = "tests/rpc/test_authentication_tokens.py::"

ANIMALS = (
    Animal(
        "shared secret in a key set",
        "Who knows the secret of a set's other key signs tokens in anybody's name.",
        (Plant(_KEY_SETS, 'if key.algorithm_name not in ALGORITHMS or "d"', 'if "d"'),),
        (_OF_TOKENS + "test_a_set_with_a_shared_secret_in_it_gives_no_key_for_it",),
    ),
    Animal(
        "token of another issuer",
        "A token that another service's issuer signed with a shared key set opens the ledger.",
        (Plant(_TOKENS, "                issuer=self._issuer,\n", ""),),
        (_OF_TOKENS + "test_a_signed_token_with_a_bad_claim_is_refused",),
    ),
    Animal(
        "token for years",
        "A stolen token is good for as long as its maker liked.",
        (Plant(_TOKENS, "if lifetime_s > self._lifetime_max_s:", "if not lifetime_s:"),),
        (_OF_TOKENS + "test_a_signed_token_with_a_bad_claim_is_refused",),
    ),
    Animal(
        "remembered past its end",
        "A token that was used once is good for ever.",
        (Plant(_TOKENS, "if good is not None and time.time() < good[1]:", "if good is not None:"),),
        (_OF_TOKENS + "test_a_good_token_is_judged_once_and_remembered_until_it_expires",),
    ),
    Animal(
        "memory outlives its keys",
        "A signing key was stolen and taken out of the set, and its tokens are still let in.",
        (Plant(_TOKENS, "self._good.clear()", "self._good.copy()"),),
        (_OF_TOKENS + "test_a_key_that_left_the_set_signs_nothing_any_more",),
    ),
    Animal(
        "set lost with its source",
        "The issuer is away for a minute, and nobody can pay.",
        (
            Plant(
                _KEY_SETS,
                'in use", error)\n            return\n',
                'in use", error)\n            self.keys = {}\n            return\n',
            ),
        ),
        (
            _OF_TOKENS + "test_the_last_good_set_stays_while_its_source_fails",
            _OF_SETS + "test_a_failing_source_leaves_the_keys_as_they_were",
        ),
    ),
    Animal(
        "issuer asked by strangers",
        "Made-up tokens make the service flood the issuer with questions.",
        (Plant(_KEY_SETS, "if time.monotonic() < self._read_at + self._again_s:", "if not self._again_s:"),),
        (
            _OF_TOKENS + "test_unknown_keys_do_not_have_the_set_read_at_will",
            _OF_SETS + "test_unknown_keys_have_the_set_read_no_oftener_than_its_source_can_bear",
        ),
    ),
    Animal(
        "wrong token, good certificate",
        "A caller whose token was refused goes on in the name of its machine.",
        (
            Plant(
                _AUTHENTICATING,
                "            return self._by_bearer(_bearer(headers))\n",
                "            try:\n"
                "                return self._by_bearer(_bearer(headers))\n"
                "            except CredentialsInvalid:\n"
                "                pass\n",
            ),
        ),
        (_OF_CERTIFICATES + "test_a_wrong_token_is_not_saved_by_a_good_certificate",),
    ),
    Animal(
        "credentials for nothing",
        "A client believes to be known, and all it records is anonymous.",
        (Plant(_AUTHENTICATING, "    if _authorization(context):\n", "    if not context:\n"),),
        (_OF_KEYS + "test_a_server_that_asks_nobody_refuses_credentials_that_it_cannot_check",),
    ),
    Animal(
        "credential told back",
        "A key that was refused stands in the answer, and in every log that answers go to.",
        (
            Plant(
                _AUTHENTICATING,
                'f"this server takes no tokens; send {self._wanted()}"',
                'f"this server takes no {text}; send {self._wanted()}"',
            ),
        ),
        (_OF_KEYS + "test_no_secret_is_ever_in_a_log_or_an_answer",),
    ),
    Animal(
        "certificate with a token's name",
        "Who gets certificates for machines becomes any user by a URI.",
        (
            Plant(
                _CERTIFICATES,
                'if name is not None and (name.startswith(_OTHERS) or ":" not in name):',
                'if name is not None and ":" not in name:',
            ),
        ),
        (_OF_CERTIFICATES + "test_a_certificate_without_a_good_name_is_nobody",),
    ),
    Animal(
        "half a pair served",
        "A certificate is renewed, its key a moment later, and no connection is made from then on.",
        (Plant(_SERVED, "if private.public_key() != leaf.public_key():", "if not private:"),),
        (_OF_CERTIFICATES + "test_files_that_cannot_be_used_keep_the_old_pair_and_are_told_of_once",),
    ),
    Animal(
        "certificate until a restart",
        "The renewed certificate lies there, and all connections fail when the old one expires.",
        (Plant(_SERVED, "if seen == self._seen:", "if seen:"),),
        (_OF_CERTIFICATES + "test_a_new_pair_is_served_without_a_restart_and_no_call_fails",),
    ),
    Animal(
        "id without its secret",
        "Who reads a list of keys can call with each of them.",
        (
            Plant(
                "ledger_server/domain/api_keys.py",
                "compare_digest(digest(secret), known.digest if known else _NO_DIGEST) and known is not None",
                "known is not None",
            ),
        ),
        (_OF_STORED_KEYS + "test_a_key_is_proved_by_its_whole_text_only",),
    ),
    Animal(
        "revoked and found",
        "A key that was revoked because it was stolen is good.",
        (Plant(_MIGRATION, "        and credentials.revoked_at is null\n", ""),),
        (
            _OF_STORED_KEYS + "test_a_key_revoked_here_is_refused_at_once_and_elsewhere_within_a_second",
            _OF_KEYS + "test_a_bad_key_is_refused_in_the_same_words_whatever_is_wrong",
        ),
    ),
    Animal(
        "revoked while it was asked for",
        "A key is used in the moment of its revocation, and is good for another second where it was revoked.",
        (Plant("ledger_server/service/remembered.py", "self._changes += 1", "self._changes += 0"),),
        (_OF_STORED_KEYS + "test_what_was_asked_before_a_revocation_is_not_remembered_after_it",),
    ),
    Animal(
        "digests for everybody",
        "Who may read a ledger can look for the secrets of its keys at leisure.",
        (Plant(_MIGRATION, "grant select (key_id,", "grant select (digest, key_id,"),),
        (_OF_STORED_KEYS + "test_nobody_who_serves_or_reads_sees_a_digest",),
    ),
    Animal(
        "strangers served",
        "A typing error in the address to listen on opens the books to the network.",
        (Plant(_CONFIG, "    if not config.authenticates:\n", "    if not config.listen:\n"),),
        ("tests/test_config.py::test_others_are_let_in_only_with_a_name_and_unread",),
    ),
    Animal(
        "token in the clear",
        "A client sends its token over the network for anybody to read and use.",
        (
            Plant(
                _CLIENT,
                "if not (self.is_tls or self.insecure_plaintext or is_this_machine(target)):",
                "if not target:",
            ),
        ),
        (
            "tests/client/test_client_credentials.py::test_a_token_is_not_sent_in_the_clear_to_another_machine",
        ),
    ),
)
