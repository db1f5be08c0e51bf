package rest

// defaultPageSize is that of lists for which the reference names none.
const defaultPageSize = 20

// page is what a list was asked for. Numbers were checked against the document.
type page struct{ number, size int }

func pageOf(number *Page, size *PageSize) page {
	p := page{number: 1, size: defaultPageSize}
	if number != nil {
		p.number = *number
	}
	if size != nil {
		p.size = *size
	}
	return p
}

func (p page) offset() int { return (p.number - 1) * p.size }

func (p page) of(total int) Pagination {
	return Pagination{Total: total, Page: p.number, PageSize: p.size, TotalPages: (total + p.size - 1) / p.size}
}

// cut is one page of a list that is there as a whole.
func cut[E any](list []E, p page) []E {
	from := min(p.offset(), len(list))
	return list[from:min(from+p.size, len(list))]
}

// everything is the page of a list that comes complete.
func everything(total int) Pagination {
	pages := 1
	if total == 0 {
		pages = 0
	}
	return Pagination{Total: total, Page: 1, PageSize: total, TotalPages: pages}
}

func (j *jsonWriter) pagination(p Pagination) {
	j.key("pagination")
	j.object(func() {
		j.key("total")
		j.int(p.Total)
		j.key("page")
		j.int(p.Page)
		j.key("page_size")
		j.int(p.PageSize)
		j.key("total_pages")
		j.int(p.TotalPages)
	})
}
