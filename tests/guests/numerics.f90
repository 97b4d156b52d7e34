! SPDX-License-Identifier: Apache-2.0
! A Fortran program linked static: numerics, formatted and unformatted input and output. A native
! run and one in a sandbox print the same.
program numerics
  implicit none
  integer, parameter :: n = 60
  real(8) :: a(n, n), b(n), x(n)
  integer :: i, j, number, status
  character(len=40) :: line
  complex(8) :: root

  do j = 1, n
    do i = 1, n
      a(i, j) = 1.0d0 / (i + j) + merge(2.0d0, 0.0d0, i == j)
    end do
    b(j) = sin(dble(j))
  end do
  call solve(a, b, x)
  write (*, '(a, es24.16)') 'solution ', sum(x)
  write (*, '(a, 3f12.6)') 'first ', x(1:3)
  root = sqrt((-1.0d0, 0.5d0))
  write (*, '(a, 2f20.15)') 'root ', root
  write (*, '(a, es22.14e3)') 'gamma ', gamma(7.5d0)
  write (*, '(a, i0, a, z8.8)') 'integers ', huge(1), ' ', 48879

  open (unit=10, file='/tmp/vmkit-fortran', status='replace', action='readwrite')
  do i = 1, 100
    write (10, '(i6, f10.4)') i, sqrt(dble(i))
  end do
  rewind (10)
  number = 0
  do
    read (10, '(a)', iostat=status) line
    if (status /= 0) exit
    number = number + 1
  end do
  write (*, '(a, i0, a)') 'lines ', number, trim(line)
  close (10, status='delete')

  open (unit=11, status='scratch', form='unformatted', access='direct', recl=8)
  do i = 1, 50
    write (11, rec=i) dble(i) ** 2
  end do
  read (11, rec=7) x(1)
  write (*, '(a, f8.2)') 'record ', x(1)
  close (11)

  do
    read (*, *, iostat=status) number
    if (status /= 0) exit
    write (*, '(a, i0)') 'twice ', 2 * number
  end do
  write (0, '(a)') 'to the error unit'
  stop 5
contains
  subroutine solve(m, r, s)
    real(8), intent(inout) :: m(:, :), r(:)
    real(8), intent(out) :: s(:)
    integer :: k, p
    real(8) :: factor

    do k = 1, size(r)
      do p = k + 1, size(r)
        factor = m(p, k) / m(k, k)
        m(p, k:) = m(p, k:) - factor * m(k, k:)
        r(p) = r(p) - factor * r(k)
      end do
    end do
    do k = size(r), 1, -1
      s(k) = (r(k) - dot_product(m(k, k + 1:), s(k + 1:))) / m(k, k)
    end do
  end subroutine solve
end program numerics
