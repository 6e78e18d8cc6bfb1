// A caller in another language: stubs generated from protos/, nothing of ours beside them.
//
// It opens a ledger, posts, posts again under the same key, is refused, and reads
// a balance; each finding is printed as one line of JSON for the test to judge.
package main

import (
	"context"
	"encoding/json"
	"log"
	"os"
	"time"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/status"

	ledgerv1 "ledger.example/interop/ledger/v1"
)

const ledger = "shop"

func main() {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	connection, err := grpc.NewClient(os.Args[1], grpc.WithTransportCredentials(insecure.NewCredentials()))
	check(err)
	defer connection.Close()
	openBooks(ctx, connection)

	client := ledgerv1.NewLedgerServiceClient(connection)
	topUp := &ledgerv1.PostRequest{
		Ledger:         ledger,
		IdempotencyKey: "top-up-1",
		Entries: []*ledgerv1.EntryDraft{
			{Account: "cash", Side: ledgerv1.Side_SIDE_DEBIT, Amount: "1250", Asset: "EUR"},
			{Account: "customers:42", Side: ledgerv1.Side_SIDE_CREDIT, Amount: "1250", Asset: "EUR"},
		},
	}
	for _, finding := range []string{"posted", "posted again"} {
		answer, err := client.Post(ctx, topUp)
		check(err)
		show(finding, map[string]any{
			"sequence":      answer.Transaction.Sequence,
			"balance_after": answer.Transaction.Entries[1].BalanceAfter,
			"hash_bytes":    len(answer.Transaction.Hash),
			"replayed":      answer.Replayed,
		})
	}

	_, err = client.Post(ctx, &ledgerv1.PostRequest{
		Ledger: ledger,
		Entries: []*ledgerv1.EntryDraft{
			{Account: "customers:42", Side: ledgerv1.Side_SIDE_DEBIT, Amount: "8000", Asset: "EUR"},
			{Account: "cash", Side: ledgerv1.Side_SIDE_CREDIT, Amount: "8000", Asset: "EUR"},
		},
	})
	showRefusal(err)

	balance, err := client.GetBalance(ctx, &ledgerv1.GetBalanceRequest{Ledger: ledger, Account: "customers:42"})
	check(err)
	show("balance", map[string]any{"posted": balance.Balances[0].Posted, "asset": balance.Balances[0].Asset})
}

func openBooks(ctx context.Context, connection *grpc.ClientConn) {
	admin := ledgerv1.NewLedgerAdminServiceClient(connection)
	_, err := admin.CreateLedger(ctx, &ledgerv1.CreateLedgerRequest{Name: ledger})
	check(err)
	_, err = admin.CreateAsset(ctx, &ledgerv1.CreateAssetRequest{Ledger: ledger, Code: "EUR", Scale: 2})
	check(err)
	zero := "0"
	_, err = ledgerv1.NewAccountServiceClient(connection).BatchCreateAccounts(ctx, &ledgerv1.BatchCreateAccountsRequest{
		Ledger: ledger,
		Accounts: []*ledgerv1.AccountDraft{
			{Name: "cash", Type: ledgerv1.AccountType_ACCOUNT_TYPE_ASSET},
			{
				Name:   "customers:42",
				Type:   ledgerv1.AccountType_ACCOUNT_TYPE_LIABILITY,
				Limits: []*ledgerv1.BalanceLimit{{Asset: "EUR", BalanceMin: &zero}},
			},
		},
	})
	check(err)
}

// showRefusal prints what a refused call tells a machine: its code and its google.rpc.ErrorInfo.
func showRefusal(err error) {
	refused := status.Convert(err)
	for _, detail := range refused.Details() {
		if info, ok := detail.(*errdetails.ErrorInfo); ok {
			show("refused", map[string]any{
				"code":   refused.Code().String(),
				"domain": info.Domain,
				"reason": info.Reason,
				"facts":  info.Metadata,
			})
		}
	}
}

func show(finding string, facts map[string]any) {
	facts["finding"] = finding
	check(json.NewEncoder(os.Stdout).Encode(facts))
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
