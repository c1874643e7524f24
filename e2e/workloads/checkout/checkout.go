// Package checkout is the work of the sample program: functions a person recognises in a profile.
package checkout

import (
	"crypto/sha256"
	"sync"
	"time"
)

var (
	mu    sync.Mutex
	carts [][]byte
	block [64 << 10]byte
)

// hashOrders is the hot function: most CPU samples are in it or below.
//
//go:noinline
func hashOrders(rounds int) (sum [32]byte) {
	for range rounds {
		sum = sha256.Sum256(block[:])
	}
	return sum
}

// priceCart costs little in version 1 and a lot in version 2.
//
//go:noinline
func priceCart(rounds int) (sum [32]byte) {
	for range rounds {
		sum = sha256.Sum256(block[:4096])
	}
	return sum
}

//go:noinline
func keepCart() {
	mu.Lock()
	defer mu.Unlock()
	if len(carts) < 64 {
		carts = append(carts, make([]byte, 64<<10))
	} else {
		carts[time.Now().UnixNano()%64] = make([]byte, 64<<10)
	}
	time.Sleep(time.Millisecond) // others wait: mutex and block profiles show it
}

// Run works for ever, at about percent of one core.
func Run(percent int, version string) {
	prices := 1
	if version >= "2" {
		prices = 200
	}
	for range 4 {
		go func() {
			for {
				keepCart()
				time.Sleep(50 * time.Millisecond)
			}
		}()
	}
	for {
		began := time.Now()
		hashOrders(20)
		priceCart(prices)
		if percent < 100 {
			time.Sleep(time.Since(began) * time.Duration(100-percent) / time.Duration(percent))
		}
	}
}
