package postgres

import (
	"database/sql/driver"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/uptrace/bun/driver/pgdriver"
)

// Away says whether an error means that the database cannot be asked at the moment, so that the same request may
// succeed later: it is starting, stopping or out of reach (SQLSTATE classes 08 and 57, and what the network says).
func Away(err error) bool {
	var refused pgdriver.Error
	if errors.As(err, &refused) {
		class := refused.Field('C')
		return strings.HasPrefix(class, "08") || strings.HasPrefix(class, "57P")
	}
	var network *net.OpError
	return errors.As(err, &network) || errors.Is(err, driver.ErrBadConn) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
}
