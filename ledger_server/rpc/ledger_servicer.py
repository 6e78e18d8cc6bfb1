"""LedgerService: read, do, write."""

from __future__ import annotations

import grpc
from ledger.v1 import ledger_service_pb2 as pb
from ledger.v1 import ledger_service_pb2_grpc

from ledger_server.domain.reads import BalanceAnswer, BalanceAsk
from ledger_server.domain.refusals import transaction_not_found
from ledger_server.rpc import (
    aggregates,
    batch_requests,
    batches,
    limits,
    narrowing,
    requests,
    responses,
    trial_balances,
    verbs,
)
from ledger_server.rpc.answering import access, answering, caller
from ledger_server.rpc.door import OPEN_DOOR, Door
from ledger_server.rpc.page_tokens import page_token, position
from ledger_server.rpc.requests import Form
from ledger_server.service.ledger import Ledgers

_POST_BATCH = "ledger.v1.LedgerService.PostBatch"


class LedgerServicer(ledger_service_pb2_grpc.LedgerServiceServicer):
    """The journal's verbs over the wire."""

    def __init__(self, ledgers: Ledgers, door: Door = OPEN_DOOR) -> None:
        self.door = door
        self._ledgers = ledgers

    @answering
    def Post(self, request: pb.PostRequest, context: grpc.ServicerContext) -> pb.PostResponse:
        """Records one transaction."""
        return verbs.post(self._ledgers, request, context)

    @answering
    def PostBatch(self, request: pb.PostBatchRequest, context: grpc.ServicerContext) -> pb.PostBatchResponse:
        """Records several operations in order."""
        by, calling = access(context), caller(context)
        asked = batch_requests.operation_drafts(request, calling.principal, by.roles)
        drafts = narrowing.allowed_drafts(by, request.ledger, asked)
        denied = narrowing.first_denied(by, drafts)
        if denied is not None:
            self.door.authorise.denied(calling, _POST_BATCH, request, denied)
        is_full = request.view == pb.BATCH_VIEW_FULL
        room = batches.room_for_details(self._ledgers, request, drafts, is_full=is_full)
        decisions = batches.decide(self._ledgers, request.ledger, drafts, calling, atomic=request.atomic)
        # What a chart asks for is known in the lane only.
        later = narrowing.first_denied(by, decisions) if denied is None else None
        if later is not None:
            self.door.authorise.denied(calling, _POST_BATCH, request, later)
        return batches.response(by, request.ledger, decisions, is_full=is_full, room=room)

    @answering
    def Reverse(self, request: pb.ReverseRequest, context: grpc.ServicerContext) -> pb.ReverseResponse:
        """Records the mirror of a transaction."""
        return verbs.reverse(self._ledgers, request, context)

    @answering
    def GetTransaction(
        self, request: pb.GetTransactionRequest, context: grpc.ServicerContext
    ) -> pb.GetTransactionResponse:
        """Answers one transaction."""
        form = Form()
        ledger = form.ledger(request.ledger)
        name = form.transaction(request.transaction)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        found, at = self._ledgers.reads.transaction(ledger, name, min_sequence)
        shown = narrowing.shown(access(context), found)
        if shown is None:
            raise transaction_not_found(ledger, name)
        return pb.GetTransactionResponse(transaction=responses.transaction(ledger, shown), sequence=at)

    @answering
    def ListTransactions(
        self, request: pb.ListTransactionsRequest, context: grpc.ServicerContext
    ) -> pb.ListTransactionsResponse:
        """Lists transactions by sequence."""
        form = Form()
        ledger = form.ledger(request.ledger)
        wanted = requests.transaction_filter(request.filter, form)
        newest_first = requests.is_newest_first(request.order, form)
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        by = access(context)
        narrowing.refuse_listing(by, wanted.account, wanted.account_prefix)
        at, place = position(request, int, int) or (None, None)
        page = self._ledgers.reads.transactions(
            ledger,
            wanted,
            newest_first=newest_first,
            position=place,
            at=at,
            count=count,
            min_sequence=min_sequence,
        )
        answer = pb.ListTransactionsResponse(sequence=page.at)
        go_on = page.position
        size_bytes = 0
        for recorded in page.transactions:
            shown = narrowing.shown(by, recorded)
            if shown is None:
                continue
            message = responses.transaction(ledger, shown)
            size_bytes += message.ByteSize() + 8
            if size_bytes > limits.PAGE_BYTES_MAX and answer.transactions:
                go_on = answer.transactions[-1].sequence
                break
            answer.transactions.append(message)
        if go_on is not None:
            answer.next_page_token = page_token(request, page.at, go_on)
        return answer

    @answering
    def ListEntries(
        self, request: pb.ListEntriesRequest, context: grpc.ServicerContext
    ) -> pb.ListEntriesResponse:
        """Lists an account's entries with running balances."""
        form = Form()
        ledger = form.ledger(request.ledger)
        account = form.account(request.account)
        asset = form.asset(request.asset, optional=True)
        newest_first = requests.is_newest_first(request.order, form)
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_uncovered(access(context), ledger, (account,))
        at, sequence, index = position(request, int, int, int) or (None, None, None)
        version, found, has_more, at = self._ledgers.reads.entries(
            ledger,
            account,
            asset=asset,
            newest_first=newest_first,
            position=None if sequence is None or index is None else (sequence, index),
            at=at,
            count=count,
            min_sequence=min_sequence,
        )
        sign = responses.account_sign(version)
        answer = pb.ListEntriesResponse(
            entries=[responses.account_entry(account, sign, one) for one in found], sequence=at
        )
        if has_more:
            answer.next_page_token = page_token(request, at, found[-1].sequence, found[-1].line)
        return answer

    @answering
    def GetBalance(
        self, request: pb.GetBalanceRequest, context: grpc.ServicerContext
    ) -> pb.GetBalanceResponse:
        """Answers an account's balance."""
        form = Form()
        ledger = form.ledger(request.ledger)
        ask = BalanceAsk(
            form.account(request.account),
            form.asset(request.asset, optional=True),
            form.sequence(request.at_sequence, "at_sequence"),
        )
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_uncovered(access(context), ledger, (ask.account,))
        found: BalanceAnswer
        if request.recompute:
            at, found = self._ledgers.reads.recomputed_balances(ledger, ask, min_sequence)
        else:
            at, (found,) = self._ledgers.reads.balances(ledger, [ask], min_sequence)
        answer = pb.GetBalanceResponse(
            account=request.account,
            balances=[responses.balance(one) for one in found.balances],
            sequence=request.at_sequence or at,
        )
        if not request.asset:
            batches.check_balances(answer)
        return answer

    @answering
    def BatchGetBalances(
        self, request: pb.BatchGetBalancesRequest, context: grpc.ServicerContext
    ) -> pb.BatchGetBalancesResponse:
        """Answers several balances at one sequence."""
        form = Form()
        ledger = form.ledger(request.ledger)
        at_sequence = form.sequence(request.at_sequence, "at_sequence")
        asks = requests.balance_asks(request.names, at_sequence, form)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_uncovered(access(context), ledger, (ask.account for ask in asks))
        at, answers = self._ledgers.reads.balances(ledger, asks, min_sequence)
        answer = pb.BatchGetBalancesResponse(
            accounts=[
                pb.AccountBalances(
                    account=ask.account, balances=[responses.balance(one) for one in found.balances]
                )
                for ask, found in zip(asks, answers, strict=True)
            ],
            sequence=at_sequence or at,
        )
        batches.check_balances(answer)
        return answer

    @answering
    def GetAggregateBalance(
        self, request: pb.GetAggregateBalanceRequest, context: grpc.ServicerContext
    ) -> pb.GetAggregateBalanceResponse:
        """Adds up balances of many accounts."""
        form = Form()
        ledger = form.ledger(request.ledger)
        ask = aggregates.aggregate_ask(request, form)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        by = access(context)
        if ask.prefix:
            narrowing.refuse_listing(by, None, ask.prefix)
        found = self._ledgers.aggregates.balances(ledger, ask, by.covers, min_sequence)
        answer = aggregates.aggregate_response(found)
        batches.check_balances(answer)
        return answer

    @answering
    def TrialBalance(
        self, request: pb.TrialBalanceRequest, context: grpc.ServicerContext
    ) -> pb.TrialBalanceResponse:
        """Adds up every posted entry."""
        form = Form()
        ledger = form.ledger(request.ledger)
        form.sequence(request.at_sequence, "at_sequence")
        count = form.page_size(request.page_size)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        rows = trial_balances.breakdown(request, form)
        form.judge()
        narrowing.refuse_whole(access(context), "a trial balance")
        ask, offset = trial_balances.sums_ask(request, rows)
        sums = self._ledgers.trial_balances.sums(
            ledger, ask, is_later_page=offset > 0, min_sequence=min_sequence
        )
        return trial_balances.response(request, sums, offset, count)

    @answering
    def RunTrialBalance(
        self, request: pb.RunTrialBalanceRequest, context: grpc.ServicerContext
    ) -> pb.RunTrialBalanceResponse:
        """Adds up every entry, and keeps what it finds."""
        form = Form()
        ledger = form.ledger(request.ledger)
        min_sequence = form.sequence(request.min_sequence, "min_sequence")
        form.judge()
        narrowing.refuse_whole(access(context), "a trial balance")
        made = self._ledgers.trial_balance_runs.run(ledger, caller(context), min_sequence)
        return pb.RunTrialBalanceResponse(run=trial_balances.run(made))

    @answering
    def ListTrialBalanceRuns(
        self, request: pb.ListTrialBalanceRunsRequest, context: grpc.ServicerContext
    ) -> pb.ListTrialBalanceRunsResponse:
        """Lists runs, newest first."""
        form = Form()
        ledger = form.ledger(request.ledger)
        day = trial_balances.utc_day(request.day, form)
        count = form.page_size(request.page_size)
        form.judge()
        narrowing.refuse_whole(access(context), "a trial balance")
        (before,) = position(request, int) or (None,)
        found, has_more = self._ledgers.trial_balance_runs.page(ledger, day, before, count)
        return trial_balances.runs_response(request, found, has_more=has_more)
